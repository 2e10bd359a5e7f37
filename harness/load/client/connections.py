"""One connection of the client: bytes out, and bytes in with the time at which each read arrived."""

import select
import socket
import ssl
import time
from array import array

from harness.load.client.http import Framing
from harness.load.client.sockets import ANCILLARY_BYTES, SO_TIMESTAMPNS, TIMESPEC
from harness.load.client.spool import Planned

READ_BYTES = 64 << 10
# Stamps beyond these bounds mean that the clock was set. A token may arrive while those before it are being read.
MAX_AGE_NS, MAX_AHEAD_NS = 60 * 10**9, 10**8
INTO = bytearray(READ_BYTES)  # every connection of a process reads through the same buffer
VIEW, BUFFERS = memoryview(INTO), [INTO]
READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Exchange:
    """One request on its way, and what has come back."""

    __slots__ = (
        "body",
        "connect_s",
        "data",
        "framing",
        "intended_s",
        "lengths",
        "planned",
        "reused",
        "sent_s",
        "stamped",
        "times",
    )

    def __init__(self, planned: Planned, intended_s: float, body: bytes):
        self.planned = planned
        self.intended_s = intended_s
        self.body = body
        self.sent_s: float | None = None
        self.connect_s = 0.0
        self.reused = False  # it goes out on a connection that has brought an answer before
        self.data = bytearray()
        self.framing = Framing(planned.max_bytes)
        self.lengths = array("I")
        self.times = array("d")
        self.stamped = True


class Clock:
    """Seconds since the cell's start, on the monotonic clock that all processes of a machine share."""

    __slots__ = ("read_ns", "start_ns", "to_monotonic_ns")

    def __init__(self, start_ns: int):
        self.start_ns = start_ns
        self.set()

    def now(self) -> float:
        return (time.monotonic_ns() - self.start_ns) / 1e9

    def set(self) -> None:
        """Stamps are CLOCK_REALTIME. The offset to the monotonic clock is taken before every few reads, so that NTP
        slewing through a long cell cannot bend the time line."""
        self.read_ns = time.monotonic_ns()
        self.to_monotonic_ns = self.read_ns - time.time_ns()


class PlainConnection:
    """`wants` is what to wait for, `armed` what is waited for. Before it is connected it wants to write."""

    __slots__ = ("_out", "armed", "connected", "exchange", "sock", "used", "wants")

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.connected = False
        self.used = False  # it has brought an answer
        self.exchange: Exchange | None = None
        self.wants = self.armed = WRITE
        self._out: memoryview | None = None

    def establish(self) -> bool:
        """True once connected. Raises OSError."""
        if error := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "")
        self.connected, self.wants = True, READ
        return True

    def write(self, data: bytes) -> None:
        """Raises OSError. What does not fit now goes when the socket wants it."""
        self._out = memoryview(data)
        self.flush()

    def flush(self) -> None:
        while self._out:
            try:
                self._out = self._out[self._send(self._out) :]
            except BlockingIOError:
                break
        self.wants = READ | WRITE if self._out else READ

    def _send(self, data: memoryview) -> int:
        return self.sock.send(data)

    def read(self, clock: Clock) -> int | None:
        """Bytes of one read into the exchange; 0 at the end, None if there was nothing. Raises OSError."""
        try:
            length, ancillary, _, _ = self.sock.recvmsg_into(BUFFERS, ANCILLARY_BYTES)
        except BlockingIOError:
            return None
        exchange = self.exchange
        if not length or exchange is None:
            return length
        exchange.data += VIEW[:length]
        exchange.lengths.append(length)
        if ancillary and ancillary[0][1] == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
            stamp_ns = seconds * 1_000_000_000 + nanoseconds + clock.to_monotonic_ns
            if -MAX_AHEAD_NS < clock.read_ns - stamp_ns < MAX_AGE_NS:
                exchange.times.append((stamp_ns - clock.start_ns) / 1e9)
                return length
        exchange.stamped = False
        exchange.times.append(clock.now())
        return length

    def close(self) -> None:
        self.sock.close()


class TlsConnection(PlainConnection):
    """TLS hides the packets from us, so times are this process's own: the record says `timestamps: user`."""

    __slots__ = ("_context", "_host")

    def __init__(self, sock: socket.socket, host: str, context: ssl.SSLContext):
        super().__init__(sock)
        self._host, self._context = host, context

    def establish(self) -> bool:
        if not isinstance(self.sock, ssl.SSLSocket):
            super().establish()
            self.connected = False
            # wrapping keeps the file descriptor, and with it the registration for events
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._host, do_handshake_on_connect=False)
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            self.wants = READ
            return False
        except ssl.SSLWantWriteError:
            self.wants = WRITE
            return False
        self.connected, self.wants = True, READ
        return True

    def _send(self, data: memoryview) -> int:
        try:
            return self.sock.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            raise BlockingIOError from None

    def read(self, clock: Clock) -> int | None:
        # A record has at most 16 KiB, so one recv() takes all that is decrypted: the socket wakes us for the next.
        try:
            data = self.sock.recv(READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        if data and (exchange := self.exchange) is not None:
            exchange.data += data
            exchange.lengths.append(len(data))
            exchange.times.append(clock.now())
            exchange.stamped = False
        return len(data)
