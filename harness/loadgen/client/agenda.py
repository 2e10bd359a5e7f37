"""What a client process sends next, and when: the conversations of its shard, in an open or a closed loop."""

import heapq
from collections import deque

from harness.loadgen.client.requests import continue_body
from harness.loadgen.client.spool import Planned, Shard

NEVER_S = float("inf")


class Agenda:
    """Times are seconds since the cell's start. An open loop has every first turn on it from the beginning; a closed
    loop has as many conversations as are to be in flight, and takes the next one when one has ended."""

    def __init__(self, shard: Shard):
        self._due: list[tuple[float, int, Planned, bytes | None]] = []  # a heap; None: the body lies in the file
        self._later: dict[int, list[Planned]] = {}  # turns, by the index of the request before them
        self._waiting = deque(shard.conversations)
        self._closed = shard.concurrency is not None
        first = len(self._waiting) if shard.concurrency is None else shard.concurrency
        for _ in range(min(first, len(self._waiting))):
            self._begin(0.0)
        self.first_due = sorted(moment for moment, *_ in self._due)

    def __bool__(self) -> bool:
        return bool(self._due)

    def next_due_s(self) -> float:
        return self._due[0][0] if self._due else NEVER_S

    def pop(self) -> tuple[float, Planned, bytes | None]:
        """(intended send, request, its body unless it lies in the file)."""
        moment, _, planned, body = heapq.heappop(self._due)
        return moment, planned, body

    def next_turn(self, planned: Planned) -> Planned | None:
        """The turn that an answer to `planned` would be followed by."""
        later = self._later.get(planned.index)
        return later[0] if later else None

    def go_on(self, planned: Planned, sent_body: bytes, template: bytes, answer: bytes, now: float) -> None:
        """The next turn of a conversation, with all that was said before it."""
        turn, *rest = self._later.pop(planned.index)
        if rest:
            self._later[turn.index] = rest
        body = continue_body(template, sent_body, answer)
        heapq.heappush(self._due, (now + turn.intended_s, turn.index, turn, body))

    def ended(self, now: float) -> None:
        """A conversation has ended, well or not."""
        if self._closed and self._waiting:
            self._begin(now)

    def _begin(self, not_before: float) -> None:
        first, *later = self._waiting.popleft()
        if later:
            self._later[first.index] = later
        heapq.heappush(self._due, (max(first.intended_s, not_before), first.index, first, None))
