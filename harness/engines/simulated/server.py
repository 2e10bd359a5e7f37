"""python -m harness.engines.simulated.server --port P --model NAME (--gap-ms G --ttft-ms T | --hardware H ...)

An OpenAI-compatible streaming server in one thread: an epoll loop that reads requests, and sends tokens when the
simulated clock says that they are due (pacing.py). What was sent when is known to the nanosecond: every event that
carries a token ends with `sent_ns`, CLOCK_MONOTONIC just before its write, and `--sent-log FILE` keeps the moments of
every finished request. Tokens are sent late, never early.
"""

import ctypes
import gc
import json
import math
import resource
import select
import signal
import socket
import sys
import time
from contextlib import nullcontext, suppress
from typing import Any, TextIO, cast

from harness.engines.simulated.answers import Answer
from harness.engines.simulated.api import CHAT, COMPLETIONS, Api
from harness.engines.simulated.batching import Sequence
from harness.engines.simulated.connection import Connection
from harness.engines.simulated.http import (
    LAST_CHUNK,
    Head,
    Refused,
    chunk,
    error_response,
    json_response,
    stream_head,
)
from harness.engines.simulated.options import arguments, pace
from harness.engines.simulated.pacing import Pace
from harness.engines.simulated.roofline import SHAPES

BACKLOG = 4096
EVENTS = 256  # connections served between two looks at the clock
TOKENS_BETWEEN_READS = 64  # a burst of tokens must not keep a new request waiting
PR_SET_TIMERSLACK = 29


class Stream(Sequence):
    """A request that is being answered."""

    __slots__ = ("answer", "close", "connection", "due_s", "emitted", "sent_ns")

    def __init__(self, connection: Connection, answer: Answer, arrival_s: float, close: bool):
        super().__init__(arrival_s, answer.asked.prompt_tokens, answer.asked.output_tokens)
        self.connection: Connection | None = connection
        self.answer, self.close = answer, close
        self.emitted = 0
        self.sent_ns: list[int] = []
        self.due_s: list[float] = []


class SimulatedServer:
    def __init__(self, pace: Pace, api: Api, port: int, sent_log: TextIO | None):
        self._pace, self._api, self._counts, self._sent_log = pace, api, api.counts, sent_log
        self._listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._stopping, self._waiting = False, True

    def stop(self, *_: Any) -> None:
        """A signal's handler: at once while waiting, else when what is being sent is sent, and logged."""
        self._stopping = True
        if self._waiting:
            raise SystemExit(0)

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopping:
            # epoll's own time-out counts in milliseconds; that of select on its descriptor, in microseconds.
            wait_s = max(0.0, self._pace.due_s() - time.monotonic())
            readable, _, _ = select.select([self._epoll], [], [], None if wait_s == math.inf else wait_s)
            self._waiting = False
            if readable:
                self._read()
            self._emit()
            self._waiting = True

    # -- tokens -----------------------------------------------------------------------------------------------------

    def _emit(self) -> None:
        unread = 0
        while (due_s := self._pace.due_s()) <= time.monotonic() and not self._stopping:
            for stream in cast(list[Stream], self._pace.take()):  # what _begin added
                if stream.connection is not None:
                    self._token(stream, stream.connection, due_s)
                unread += 1
                if unread >= TOKENS_BETWEEN_READS:
                    unread = 0
                    self._read()

    def _token(self, stream: Stream, connection: Connection, due_s: float) -> None:
        answer, token = stream.answer, stream.emitted
        stream.emitted = token + 1
        self._counts["generation_tokens"] += 1
        sent_ns = 0
        if answer.asked.stream:
            if stream.emitted < stream.output_tokens:
                sent_ns = time.monotonic_ns()
                connection.send(chunk(answer.event(token, sent_ns)))
            else:
                ending = chunk(answer.ending()) + LAST_CHUNK
                sent_ns = time.monotonic_ns()
                connection.send(chunk(answer.event(token, sent_ns)) + ending)
        elif stream.emitted == stream.output_tokens:
            body = json_response(200, answer.whole(), close=stream.close)
            sent_ns = time.monotonic_ns()
            connection.send(body)
        if self._sent_log is not None and sent_ns:
            stream.sent_ns.append(sent_ns)
            stream.due_s.append(due_s)
        if stream.emitted == stream.output_tokens:
            self._finish(stream, connection)

    def _finish(self, stream: Stream, connection: Connection) -> None:
        stream.connection = connection.stream = None
        self._counts["request_success"] += 1
        if self._sent_log is not None:
            line = {"request_id": stream.answer.request_id, "prompt_tokens": stream.prompt_tokens}
            line |= {"sent_ns": stream.sent_ns, "due_ns": [round(due * 1e9) for due in stream.due_s]}
            self._sent_log.write(json.dumps(line, separators=(",", ":")) + "\n")
        if stream.close:
            connection.close_when_sent()
        self._serve(connection)  # what the client sent meanwhile

    # -- connections ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        for descriptor, events in self._epoll.poll(0, EVENTS):
            connection = self._connections.get(descriptor)
            if connection is None:
                self._accept()
                continue
            if events & select.EPOLLOUT:
                connection.flush()
            if events & ~select.EPOLLOUT:
                connection.receive()
                self._serve(connection)
            elif connection.gone:
                self._drop(connection)

    def _accept(self) -> None:
        for _ in range(EVENTS):
            try:
                sock, _ = self._listener.accept()
            except OSError:  # no more of them, or no more descriptors: the next look tries again
                return
            connection = Connection(sock, self._epoll)
            self._connections[sock.fileno()] = connection

    def _serve(self, connection: Connection) -> None:
        """Answer the requests that are complete, unless one is being answered."""
        while connection.stream is None and not connection.gone:
            head = None
            try:
                if (request := connection.next_request()) is None:
                    break
                head, body = request
                self._api.check(head)
                if head.path in (COMPLETIONS, CHAT):
                    self._begin(connection, head, body)
                else:
                    connection.send(self._api.respond(head, self._gauges()))
                    if head.close:
                        connection.close_when_sent()
            except Refused as refused:
                close = refused.fatal or (head is not None and head.close)
                connection.send(error_response(refused, close=close))
                if close:
                    connection.close_when_sent()
        if connection.gone:
            self._drop(connection)

    def _begin(self, connection: Connection, head: Head, body: bytes) -> None:
        arrival_s = time.monotonic()
        stream = Stream(connection, self._api.completion(head, body), arrival_s, head.close)
        try:
            self._pace.add(stream)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        connection.stream = stream
        self._counts["prompt_tokens"] += stream.prompt_tokens
        self._counts["prefix_cache_queries"] += stream.prompt_tokens
        if stream.answer.asked.stream:
            connection.send(stream_head(close=head.close))

    def _gauges(self) -> dict[str, float]:
        pace = self._pace
        return {
            "num_requests_running": pace.running,
            "num_requests_waiting": pace.waiting,
            "kv_cache_usage_perc": pace.kv_usage,
        }

    def _drop(self, connection: Connection) -> None:
        """The client has left, or was told to: what it asked for is not generated any further."""
        if self._connections.get(connection.descriptor) is connection:
            del self._connections[connection.descriptor]
            connection.close()
        stream, connection.stream = connection.stream, None
        if stream is not None:
            stream.connection = None
            self._pace.cancel(stream)


def main(argv: list[str]) -> None:
    options = arguments(argv)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with suppress(OSError, AttributeError):  # else a sleep ends up to 50 us after its time
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with open(options.sent_log, "a") if options.sent_log else nullcontext() as sent_log:
        length = options.max_model_len or SHAPES[options.shape].max_model_len
        # Where the schedule is known, so is the length.
        api = Api(options.model, length, options.seed, full_length=options.gap_ms is not None)
        server = SimulatedServer(pace(options), api, options.port, sent_log)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.stop)
        print(f"serving {options.model} on http://127.0.0.1:{server.port}", flush=True)
        gc.collect()
        gc.freeze()
        gc.disable()  # nothing here makes cycles, and a collection would hold up the tokens
        server.run()


if __name__ == "__main__":
    main(sys.argv[1:])
