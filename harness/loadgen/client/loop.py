"""The measured path of a client process: one thread, one epoll. A token costs one recvmsg, and nothing is parsed."""

import errno
import mmap
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from harness.loadgen.client.agenda import Agenda
from harness.loadgen.client.answers import said_in
from harness.loadgen.client.connections import READ, Clock, Exchange, PlainConnection
from harness.loadgen.client.http import BadHttp, Target
from harness.loadgen.client.pool import Pool
from harness.loadgen.client.requests import is_chat
from harness.loadgen.client.sockets import error_message
from harness.loadgen.client.spool import Planned, Raw, TraceWriter, trace
from harness.loadgen.client.trace import Failure
from harness.protocol.replies import shown

LOOK_AHEAD_S = 0.25  # a connection is opened so long before its request is due
PRE_OPEN_S = 10.0  # at most so long for the connections that are needed at once
CONNECTING = 512  # connections being opened at a time: below the usual backlog of a server
# Every so often, in seconds times requests in flight, it wakes up for all the tokens that came meanwhile: the kernel
# has stamped them. With few in flight the end of one is to be seen at once, for it may send the next.
GATHER_S, GATHER_MOST_S, GATHER_FROM = 0.5, 0.002, 32
TICK_S = 0.02  # housekeeping, and one sample of how late the loop is
PROGRESS_S = 0.25


@dataclass(frozen=True)
class Job:
    target: Target
    address: tuple  # of getaddrinfo
    headers: dict[str, str]
    request_timeout_s: float
    cell_timeout_s: float


class Loop:
    """`bodies`: the file of bodies, mapped into memory. Every request that was tried is written to `out` once."""

    def __init__(self, job: Job, agenda: Agenda, bodies: mmap.mmap, out: TraceWriter):
        self._job, self._agenda, self._bodies, self._out = job, agenda, bodies, out
        self._head = job.target.head(job.headers)
        self._pool = Pool(job.target, job.address)
        self._clock = Clock(time.monotonic_ns())
        self._deadlines: deque[tuple[float, int, PlainConnection]] = deque()  # (time, request, where it was sent)
        self._foreseen = 0  # first turns for which a connection has been opened
        self._in_flight = 0
        self.done = 0
        self.reads = 0
        self.unasked = 0  # reads of bytes that no request was waiting for
        self.loop_lag_s: list[float] = []

    @property
    def connections_opened(self) -> int:
        return self._pool.opened

    @property
    def clock_steps(self) -> tuple[int, float]:
        """How often the system's clock was set, and the largest step in seconds."""
        return self._clock.steps, self._clock.step_ns_max / 1e9

    def open_connections(self) -> None:
        """What the first moments need, so that nothing is measured on a cold connection. Failures show later."""
        needed = sum(moment <= LOOK_AHEAD_S for moment in self._agenda.first_due)
        deadline = time.monotonic() + PRE_OPEN_S
        while (self._foreseen < needed or self._pool.opening) and time.monotonic() < deadline:
            while self._foreseen < needed and self._pool.opening < CONNECTING:
                self._foreseen += 1
                if not self._pool.open_spare():
                    self._foreseen = needed
            self._serve(self._pool.wait(0.01))

    def run(self, start_ns: int, control: int, progress: Callable[[int], None]) -> None:
        """Until every request has ended, the cell's time is up, or `control` (a file descriptor) can be read."""
        self._clock.start(start_ns)
        self._pool.watch(control)
        tick, told, told_to_stop = max(self._clock.now(), 0.0) + TICK_S, 0.0, False
        while (self._agenda or self._in_flight) and not told_to_stop:
            now = self._clock.now()
            if now >= tick:
                self.loop_lag_s.append(now - tick)
                tick = now + TICK_S
                self._housekeeping(now)
                if now >= self._job.cell_timeout_s:
                    break
                if now - told >= PROGRESS_S:
                    told = now
                    progress(self.done)
                    self._look_for_ends()
            if (due := self._agenda.next_due_s()) <= now:
                while (due := self._agenda.next_due_s()) <= now:
                    self._send(*self._agenda.pop())
                now = self._clock.now()
            ready = self._pool.wait(tick - now, due - now, self._gather_s())
            told_to_stop = self._serve(ready, control)
        self._clock.set()  # tells of a step after the last look at it
        for connection in self._pool.busy():
            self._end(connection, Failure("cancelled", "open when the cell ran out of time"), reusable=False)

    def _gather_s(self) -> float:
        if self._in_flight < GATHER_FROM or self._job.target.tls:  # TLS has no stamps but ours
            return 0.0
        return min(GATHER_MOST_S, GATHER_S / self._in_flight)

    def _serve(self, ready: list[tuple[int, int]], control: int = -1) -> bool:
        """Read and write what can be. True when `control` is among it."""
        clock, connections = self._clock, self._pool.by_descriptor
        clock.set()
        for descriptor, _ in ready:
            connection = connections.get(descriptor)
            if connection is None:
                if descriptor == control:
                    return True
                continue  # closed while an earlier one was served
            try:
                if not connection.connected:
                    self._establish(connection)
                    continue
                if connection.wants != READ:
                    connection.flush()
                    self._pool.rearm(connection)
                length = connection.read(clock)
            except OSError as error:
                self._broken(connection, error)
                continue
            exchange = connection.exchange
            if length and exchange is not None and exchange.framing.more_to_come(exchange.data):
                self.reads += 1  # nearly every read: a token in the middle of its answer
            elif length is not None:
                self._received(connection, length)
        return False

    def _received(self, connection: PlainConnection, length: int) -> None:
        exchange = connection.exchange
        if exchange is None:  # the server closed an idle connection, or sent what nobody asked for
            self.unasked += bool(length)
            self._pool.drop(connection)
            return
        self.reads += 1
        if not length:
            if self._again(connection, exchange):
                return
            whole = exchange.framing.complete_at_eof(exchange.data)
            cut = Failure("incomplete_stream" if exchange.data else "reset", "the server closed the connection")
            self._end(connection, None if whole else cut, reusable=False)
            return
        self._check(connection, exchange)

    def _check(self, connection: PlainConnection, exchange: Exchange) -> None:
        """End the request whose response is complete, or can be none."""
        try:
            if exchange.framing.complete(exchange.data):
                self._end(connection, None, reusable=exchange.framing.keep_alive)
                return
        except Exception as error:  # the boundary: whatever came, it costs this request and no other
            message = str(error) if isinstance(error, BadHttp) else f"{error!r}: {shown(exchange.data)}"
            self._end(connection, Failure("bad_http", message), reusable=False)
            return
        limit = exchange.planned.max_bytes
        if len(exchange.data) > limit:
            self._end(connection, Failure("too_large", f"more than {limit} bytes of response"), reusable=False)

    def _look_for_ends(self) -> None:
        for connection in self._pool.busy():
            exchange = connection.exchange
            if exchange is not None and exchange.framing.may_have_ended(exchange.data):
                self._check(connection, exchange)

    def _housekeeping(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, index, connection = self._deadlines.popleft()
            if connection.exchange is not None and connection.exchange.planned.index == index:
                message = "no end of the response within the request time-out"
                self._end(connection, Failure("timeout", message), reusable=False)
        self._pool.drop_stale(now)
        first_due = self._agenda.first_due
        needed = -self._pool.spare
        while self._foreseen < len(first_due) and first_due[self._foreseen] <= now + LOOK_AHEAD_S:
            self._foreseen += 1
            needed += 1
        for _ in range(min(needed, CONNECTING)):
            self._pool.open_spare()

    def _send(self, intended_s: float, planned: Planned, body: bytes | None) -> None:
        if body is None:
            body = bytes(self._bodies[planned.start : planned.start + planned.length])
        exchange = Exchange(planned, intended_s, body)
        now = exchange.sent_s = self._clock.now()  # tried; corrected when it is written
        connection = self._pool.take(now)
        fresh = connection is None
        if connection is None:
            try:
                connection = self._pool.open()
            except OSError as error:
                self._finish(exchange, Failure("connect", error_message(error)), now)
                return
        connection.exchange = exchange
        exchange.reused = connection.used
        self._in_flight += 1
        self._deadlines.append((now + self._job.request_timeout_s, planned.index, connection))
        if not fresh:
            self._write(connection, exchange)

    def _write(self, connection: PlainConnection, exchange: Exchange) -> None:
        exchange.sent_s = exchange.floor_s = self._clock.now()
        try:
            connection.write(b"%b%d\r\n\r\n%b" % (self._head, len(exchange.body), exchange.body))
            self._pool.rearm(connection)
        except OSError as error:
            self._broken(connection, error)

    def _establish(self, connection: PlainConnection) -> None:
        done = connection.establish()
        self._pool.rearm(connection)
        if not done:
            return
        now, exchange = self._clock.now(), connection.exchange
        if exchange is None:
            self._pool.connected(connection, now)
        else:
            exchange.connect_s = now - (exchange.sent_s or 0.0)
            self._write(connection, exchange)

    def _broken(self, connection: PlainConnection, error: OSError) -> None:
        if connection.exchange is None:
            self._pool.drop(connection)
        elif not (error.errno in (errno.EPIPE, errno.ECONNRESET) and self._again(connection, connection.exchange)):
            self._end(
                connection,
                Failure("reset" if connection.connected else "connect", error_message(error)),
                reusable=False,
            )

    def _again(self, connection: PlainConnection, exchange: Exchange) -> bool:
        """A server may close a connection after an answer (llama.cpp does after every stream) just as the next request
        goes out on it. That one was not read: it goes out once more, on a separate connection, and the time counts
        as spent on connecting (RFC 9112, 9.3.1). Its own bytes, coming after the close, turn it into a reset: one
        before any answer, on a connection that had brought one, counts as such. False where it is not so.
        """
        if not exchange.reused or exchange.data:
            return False
        exchange.reused = False
        try:
            fresh = self._pool.open()
        except OSError:
            return False
        self._pool.drop(connection)
        connection.exchange, fresh.exchange = None, exchange
        self._deadlines.append((self._clock.now() + self._job.request_timeout_s, exchange.planned.index, fresh))
        return True

    def _end(self, connection: PlainConnection, error: Failure | None, *, reusable: bool) -> None:
        exchange = connection.exchange
        assert exchange is not None
        now = self._clock.now()
        if not reusable or connection.wants != READ:
            self._pool.drop(connection)
        else:
            connection.used = True
            self._pool.give_back(connection, now)
        connection.exchange = None
        self._in_flight -= 1
        self._finish(exchange, error, now)

    def _finish(self, exchange: Exchange, error: Failure | None, now: float) -> None:
        raw = Raw(
            index=exchange.planned.index,
            intended_s=exchange.intended_s,
            sent_s=exchange.sent_s,
            connect_s=exchange.connect_s,
            end_s=now,
            error=error,
            stamped=exchange.stamped,
            rejected=exchange.rejected,
            beyond=exchange.framing.beyond(exchange.data),
            data=bytes(exchange.data),
            lengths=exchange.lengths,
            times=exchange.times,
        )
        self._out.write(raw)
        self.done += 1
        turn = self._agenda.next_turn(exchange.planned)
        if turn is None or not self._continue(raw, exchange, turn, now):
            self._agenda.ended(now)

    def _continue(self, raw: Raw, exchange: Exchange, turn: Planned, now: float) -> bool:
        """False: the conversation ends here."""
        answer = trace(raw)
        if answer.error is not None:
            return False
        template = bytes(self._bodies[turn.start : turn.start + turn.length])
        said = said_in(answer, is_chat(template))
        if isinstance(said, Failure):
            self._out.write(Raw(turn.index, now, None, 0.0, None, said))
            return False
        self._agenda.go_on(exchange.planned, exchange.body, template, said, now)
        return True
