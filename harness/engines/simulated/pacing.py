"""When tokens are due, on the simulated clock: service processes with one face. Pure: the caller has the clock.

Deadlines are absolute. A server that comes late to one sends late; the next one does not move.
"""

import heapq
import math
from typing import Protocol

from harness.engines.simulated.batching import ContinuousBatching, Sequence, Step


class Pace(Protocol):
    @property
    def running(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that is taken."""

    def add(self, sequence: Sequence) -> None:
        """Raises ValueError for one that can never be served."""

    def cancel(self, sequence: Sequence) -> None:
        """Drop a sequence that has not emitted its last token."""

    def due_s(self) -> float:
        """When the next tokens are due; infinity while there are none."""

    def take(self) -> list[Sequence]:
        """Those whose token is due at `due_s()`, one token each."""


class FixedSchedule:
    """Token k of a request is due at arrival + ttft_s + k * gap_s, whatever else is served: a known schedule for tests
    of instruments. Requests that arrive at different moments have their tokens at different moments."""

    waiting = 0
    kv_usage = 0.0

    def __init__(self, ttft_s: float, gap_s: float):
        self._ttft_s, self._gap_s = ttft_s, gap_s
        self._due: list[tuple[float, int, int, Sequence]] = []  # a heap: (due, order of arrival, token, sequence)
        self._arrived = 0
        self._cancelled: set[Sequence] = set()

    @property
    def running(self) -> int:
        return len(self._due) - len(self._cancelled)

    def add(self, sequence: Sequence) -> None:
        self._arrived += 1
        heapq.heappush(self._due, (sequence.arrival_s + self._ttft_s, self._arrived, 0, sequence))

    def cancel(self, sequence: Sequence) -> None:
        self._cancelled.add(sequence)  # it leaves the heap when its turn comes
        self._drop_cancelled()

    def due_s(self) -> float:
        return self._due[0][0] if self._due else math.inf

    def take(self) -> list[Sequence]:
        _, order, token, sequence = self._due[0]
        token += 1
        if token < sequence.output_tokens:
            due_s = sequence.arrival_s + self._ttft_s + token * self._gap_s
            heapq.heapreplace(self._due, (due_s, order, token, sequence))
        else:
            heapq.heappop(self._due)
        if self._cancelled:
            self._drop_cancelled()
        return [sequence]

    def _drop_cancelled(self) -> None:
        while self._due and self._due[0][3] in self._cancelled:
            self._cancelled.remove(heapq.heappop(self._due)[3])


class BatchedSchedule:
    """Continuous batching on an absolute clock: a step starts when the one before ends, or when a request arrives."""

    def __init__(self, batching: ContinuousBatching):
        self._batching = batching
        self._step: Step | None = None  # on its way
        self._end_s = -math.inf  # of that step; of the last one, where there is none

    @property
    def running(self) -> int:
        return self._batching.running

    @property
    def waiting(self) -> int:
        return len(self._batching.waiting)

    @property
    def kv_usage(self) -> float:
        capacity = self._batching.kv_cache_tokens
        return self._batching.kv_reserved / capacity if capacity else 0.0

    def add(self, sequence: Sequence) -> None:
        self._batching.add(sequence)
        if self._step is None:
            self._begin(max(self._end_s, sequence.arrival_s))

    def cancel(self, sequence: Sequence) -> None:
        self._batching.cancel(sequence)

    def due_s(self) -> float:
        return math.inf if self._step is None else self._end_s

    def take(self) -> list[Sequence]:
        assert self._step is not None
        emitted = list(self._step.emitted)
        self._batching.retire()
        self._step = None
        if self._batching.running:
            self._begin(self._end_s)
        elif self._batching.waiting:
            self._begin(max(self._end_s, self._batching.waiting[0].arrival_s))
        return emitted

    def _begin(self, now_s: float) -> None:
        self._step = self._batching.step(now_s)
        self._end_s = now_s + self._step.duration_s


class Replicas:
    """Independent engines behind one address. A request goes to the one with the fewest, waiting and running: what
    vLLM's data-parallel front end does (DPLBAsyncMPClient), in its simplest form; it stays there."""

    def __init__(self, engines: list[BatchedSchedule]):
        self._engines = engines

    @property
    def running(self) -> int:
        return sum(engine.running for engine in self._engines)

    @property
    def waiting(self) -> int:
        return sum(engine.waiting for engine in self._engines)

    @property
    def kv_usage(self) -> float:
        return sum(engine.kv_usage for engine in self._engines) / len(self._engines)

    def add(self, sequence: Sequence) -> None:
        min(self._engines, key=lambda engine: engine.waiting + engine.running).add(sequence)

    def cancel(self, sequence: Sequence) -> None:
        for engine in self._engines:  # those that do not have it do nothing
            engine.cancel(sequence)

    def due_s(self) -> float:
        return min(engine.due_s() for engine in self._engines)

    def take(self) -> list[Sequence]:
        return min(self._engines, key=lambda engine: engine.due_s()).take()
