"""One client's connection: bytes in, requests out; a response that the socket does not take at once waits here."""

import select
import socket
from typing import Any

from harness.engines.simulated.http import Head, read_head

READ_BYTES = 256 << 10
MAX_READS = 16  # of one look, so that one large body does not hold up the others
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """`stream`: what is being answered on it. `gone`: nothing more will be sent or read."""

    __slots__ = ("_closing", "_epoll", "_head", "_in", "_out", "_sock", "descriptor", "gone", "stream")

    def __init__(self, sock: socket.socket, epoll: select.epoll):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock, self._epoll = sock, epoll
        self.descriptor = sock.fileno()
        self._in, self._out = bytearray(), bytearray()
        self._head: Head | None = None  # of a request whose body is not complete
        self._closing = False
        self.gone = False
        self.stream: Any = None
        epoll.register(sock, select.EPOLLIN)

    def receive(self) -> None:
        for _ in range(MAX_READS):
            try:
                data = self._sock.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.gone = True
                return
            if not self._closing:
                self._in += data
            if len(data) < READ_BYTES:
                return

    def next_request(self) -> tuple[Head, bytes] | None:
        """None while it is not complete. Raises http.Refused."""
        if self._closing:
            return None
        if self._head is None:
            self._head = read_head(self._in)
            if self._head is None:
                return None
            if self._head.wants_continue and len(self._in) < self._head.length:
                self.send(CONTINUE)
        head = self._head
        if len(self._in) < head.length:
            return None
        body = bytes(self._in[: head.length])
        del self._in[: head.length]
        self._head = None
        return head, body

    def send(self, data: bytes) -> None:
        if self._out:
            self._out += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.gone = True  # epoll tells of it too, and the server lets go of it then
            return
        if sent < len(data):
            self._out += data[sent:]
            self._epoll.modify(self._sock, select.EPOLLIN | select.EPOLLOUT)

    def flush(self) -> None:
        try:
            sent = self._sock.send(self._out)
        except BlockingIOError:
            return
        except OSError:
            self.gone = True
            return
        del self._out[:sent]
        if not self._out:
            self._epoll.modify(self._sock, select.EPOLLIN)
            self.gone = self._closing

    def close_when_sent(self) -> None:
        self._closing = True
        self.gone = not self._out

    def close(self) -> None:
        self._epoll.unregister(self._sock)
        self._sock.close()
