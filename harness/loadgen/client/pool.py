"""The connections of a client process: opened before they are needed, kept while fresh, watched by one epoll."""

import select
import ssl
import time
from collections import deque

from harness.loadgen.client.connections import PlainConnection, TlsConnection
from harness.loadgen.client.http import Target
from harness.loadgen.client.sockets import connecting_socket

# Servers close idle connections (uvicorn after 5 s), and a POST on a connection that is just being closed fails
# through no fault of the engine: let go of them first.
IDLE_S = 2.0
BATCH = 64  # events taken at a time, before looking whether a request is due
COARSE_S = 0.002  # epoll rounds to milliseconds: shorter waits go through select(), which does not


class Pool:
    def __init__(self, target: Target, address: tuple):
        self._host, self._address = target.host, address
        self._tls = ssl.create_default_context() if target.tls else None
        self._epoll = select.epoll()
        self.by_descriptor: dict[int, PlainConnection] = {}
        self._idle: deque[tuple[float, PlainConnection]] = deque()  # (idle since, connection), the oldest first
        self._backlog = False  # there may be more events than were taken
        self.opening = 0  # connections on their way that no request waits for
        self.opened = 0  # in all

    @property
    def spare(self) -> int:
        return len(self._idle) + self.opening

    def watch(self, descriptor: int) -> None:
        """Have `wait` tell of a descriptor that is not a connection."""
        self._epoll.register(descriptor, select.EPOLLIN)

    def wait(self, timeout_s: float, due_s: float = float("inf"), gather_s: float = 0.0) -> list[tuple[int, int]]:
        """(descriptor, events) of what can be read or written, after `timeout_s` at the latest, give or take 1 ms.

        due_s: it must not be later than that, to the microsecond. gather_s: events may come together for so long first.
        """
        if gather_s and gather_s + COARSE_S < due_s and not self._backlog:
            time.sleep(gather_s)
            due_s -= gather_s
            timeout_s -= gather_s
        if timeout_s + COARSE_S < due_s:
            events = self._epoll.poll(max(timeout_s, 0.001), BATCH)
        elif due_s > COARSE_S:
            events = self._epoll.poll(due_s - 0.001, BATCH)
        else:
            if due_s > 0:
                select.select([self._epoll], [], [], due_s)
            events = self._epoll.poll(0, BATCH)
        self._backlog = len(events) == BATCH
        return events

    def open(self) -> PlainConnection:
        """A connection on its way. Raises OSError."""
        sock = connecting_socket(self._address)
        connection = PlainConnection(sock) if self._tls is None else TlsConnection(sock, self._host, self._tls)
        self.by_descriptor[sock.fileno()] = connection
        self._epoll.register(sock.fileno(), connection.wants)
        self.opened += 1
        return connection

    def open_spare(self) -> bool:
        """False if it cannot be: the request that needs one will say why."""
        try:
            self.open()
        except OSError:
            return False
        self.opening += 1
        return True

    def take(self, now: float) -> PlainConnection | None:
        """The idle connection that was used last."""
        while self._idle:
            since, connection = self._idle.pop()
            if connection.sock.fileno() < 0:
                continue  # closed by the server meanwhile
            if since >= now - IDLE_S:
                return connection
            self.drop(connection)
        return None

    def give_back(self, connection: PlainConnection, now: float) -> None:
        self._idle.append((now, connection))

    def connected(self, connection: PlainConnection, now: float) -> None:
        """A spare connection is ready."""
        self.opening -= 1
        self.give_back(connection, now)

    def rearm(self, connection: PlainConnection) -> None:
        """After `wants` may have changed."""
        if connection.armed != connection.wants:
            connection.armed = connection.wants
            self._epoll.modify(connection.sock.fileno(), connection.wants)

    def drop(self, connection: PlainConnection) -> None:
        descriptor = connection.sock.fileno()
        if self.by_descriptor.pop(descriptor, None) is None:
            return
        if not connection.connected and connection.exchange is None:
            self.opening -= 1
        self._epoll.unregister(descriptor)
        connection.close()

    def drop_stale(self, now: float) -> None:
        while self._idle and self._idle[0][0] < now - IDLE_S:
            self.drop(self._idle.popleft()[1])

    def busy(self) -> list[PlainConnection]:
        return [connection for connection in self.by_descriptor.values() if connection.exchange is not None]
