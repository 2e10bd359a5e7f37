"""One connection of the client: bytes out, and bytes in with the time at which each read arrived."""

import select
import socket
import ssl
import time
from array import array

from harness.loadgen.client.http import Framing
from harness.loadgen.client.sockets import ANCILLARY_BYTES, SO_TIMESTAMPNS, TIMESPEC
from harness.loadgen.client.spool import Planned

READ_BYTES = 64 << 10
AHEAD_NS = 10**6  # a token may arrive so long after the clock was read; beyond that it is read again
STEP_NS = 10**6  # a change of the offset between the clocks that is no slewing: the clock was set
# A change of the offset outside these makes us read both clocks again: 500 ppm slew 10 us in a tick.
SUSPECT_NS, UNSUSPECT_NS = 50_000, -50_000
READINGS = 5
NEVER_S = float("-inf")
JITTER_S = 1e-4  # by so much two readings of the offset may differ, where this process lost its core between the clocks
INTO = bytearray(READ_BYTES)  # every connection of a process reads through the same buffer
VIEW, BUFFERS = memoryview(INTO), [INTO]
READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Exchange:
    """One request on its way, and what has come back."""

    __slots__ = (
        "body",
        "connect_s",
        "data",
        "floor_s",
        "framing",
        "intended_s",
        "lengths",
        "planned",
        "rejected",
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
        self.floor_s = 0.0  # the latest moment that is known to be before the next read: the send, the last stamp
        self.connect_s = 0.0
        self.reused = False  # it goes out on a connection that has brought an answer before
        self.data = bytearray()
        self.framing = Framing(planned.max_bytes)
        self.lengths = array("I")
        self.times = array("d")
        self.stamped = True  # every read has a stamp
        self.rejected = 0  # stamps that cannot be


class Clock:
    """Seconds since the cell's start, on the monotonic clock that all processes of a machine share.

    Stamps are CLOCK_REALTIME, which somebody may set (NTP, a resumed machine). The offset between the clocks is taken
    before every few reads, so that slewing through a long cell cannot bend the time line. After a step a stamp of the
    reads at hand is of the clock before it or after it, whichever lies between the read before and now. Where both do,
    and where a step stays unseen because the stamp is still possible, a token is moved by the step and by no more.
    """

    __slots__ = ("latest_s", "offset_ns", "start_ns", "step_ns_max", "stepped_ns", "steps")

    def __init__(self, start_ns: int):
        self.start_ns = start_ns
        self.steps, self.step_ns_max = 0, 0
        self.stepped_ns = 0  # by the last step the offset grew by so much
        self.offset_ns = _clocks()[1] - start_ns  # from a stamp to the time since the start
        self.set()

    def start(self, start_ns: int) -> None:
        self.offset_ns += self.start_ns - start_ns
        self.start_ns = start_ns
        self.set()

    def now(self) -> float:
        return (time.monotonic_ns() - self.start_ns) / 1e9

    def set(self) -> None:
        since_ns = time.monotonic_ns() - self.start_ns
        offset_ns = since_ns - time.time_ns()
        if UNSUSPECT_NS < offset_ns - self.offset_ns < SUSPECT_NS:
            self.offset_ns = offset_ns
            self.latest_s = (since_ns + AHEAD_NS) / 1e9
        else:
            self._reread()

    def _reread(self) -> None:
        read_ns, to_monotonic_ns = _clocks()
        offset_ns = to_monotonic_ns - self.start_ns
        change_ns = offset_ns - self.offset_ns
        self.offset_ns = offset_ns
        self.latest_s = (read_ns + AHEAD_NS - self.start_ns) / 1e9
        if abs(change_ns) > STEP_NS:
            self.latest_s = NEVER_S
            self.stepped_ns = change_ns
            self.steps += 1
            self.step_ns_max = max(self.step_ns_max, abs(change_ns))

    def second_look(self, moment: float, floor_s: float) -> float | None:
        """A stamp that is not between `floor_s` and `latest_s`: the moment to take it for; None where it cannot be."""
        if self.latest_s != NEVER_S:
            if floor_s - JITTER_S <= moment <= self.now() + JITTER_S:
                return max(moment, floor_s)
            offset_ns = self.offset_ns
            self._reread()
            moment += (self.offset_ns - offset_ns) / 1e9
        latest_s = self.now() + JITTER_S
        by_either = (moment, moment - self.stepped_ns / 1e9) if self.latest_s == NEVER_S else (moment,)
        if possible := [one for one in by_either if floor_s - JITTER_S <= one <= latest_s]:
            return max(min(possible), floor_s)
        stepped_s = abs(self.stepped_ns) / 1e9  # unseen, the step may have moved the read before forward
        return floor_s if floor_s - stepped_s <= min(by_either) < floor_s else None


def _clocks() -> tuple[int, int]:
    """(monotonic, its offset to real time): of a few readings the one that took the shortest."""
    best: tuple[int, int, int] | None = None
    for _ in range(READINGS):
        before, real, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, after, (before + after) // 2 - real)
    assert best is not None
    return best[1], best[2]


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
            moment = (seconds * 1_000_000_000 + nanoseconds + clock.offset_ns) / 1e9
            if (
                exchange.floor_s <= moment <= clock.latest_s
                or (moment := clock.second_look(moment, exchange.floor_s)) is not None
            ):
                exchange.floor_s = moment
                exchange.times.append(moment)
                return length
            exchange.rejected += 1
        else:
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
