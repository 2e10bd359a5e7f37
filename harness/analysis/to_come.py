"""What a sweep that still runs has to measure yet. It is known to the run alone: the store has no estimates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionToCome:
    """A session of a running sweep with its cells that are not measured yet; `seconds`: the estimate for them."""

    name: str
    cells: int
    seconds: float


@dataclass(frozen=True)
class ToCome:
    """The sessions to come, in their order, as estimated at `at` (ISO 8601)."""

    sessions: tuple[SessionToCome, ...]
    at: str

    @property
    def cells(self) -> int:
        return sum(session.cells for session in self.sessions)

    @property
    def seconds(self) -> float:
        return sum(session.seconds for session in self.sessions)
