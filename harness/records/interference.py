"""What neighbours on a machine change: the result of an A/A interference test, and what may run at once by it."""

from dataclasses import dataclass, field

from harness.records.fields import Stored

LOAD, ACCURACY = "load", "accuracy"  # what the neighbours send
LIMIT = 0.01  # the largest change of a speed, its interval included, that is taken for none


@dataclass(frozen=True)
class Change(Stored):
    """A figure of one variant with neighbours over the same without, and the 95 % interval of that ratio."""

    metric: str  # itl_ms_p50 | itl_ms_p99 | output_tok_per_s
    alone: float  # geometric mean of the repeats
    ratio: float
    low: float | None = None
    high: float | None = None

    @property
    def within(self) -> bool:
        """Whether the whole interval is within the limit."""
        return self.low is not None and self.high is not None and self.low >= 1 - LIMIT and self.high <= 1 + LIMIT

    @property
    def beyond(self) -> bool:
        """Whether the whole interval is outside the limit: more repeats would not change the decision."""
        return self.low is not None and self.high is not None and (self.high < 1 - LIMIT or self.low > 1 + LIMIT)

    @property
    def words(self) -> str:
        """``+0.3 % [-0.2, +0.8]``"""
        if self.low is None or self.high is None:
            return f"{self.ratio - 1:+.1%} (no interval)".replace("%", " %")
        return f"{100 * (self.ratio - 1):+.1f} % [{100 * (self.low - 1):+.1f}, {100 * (self.high - 1):+.1f}]"


@dataclass(frozen=True)
class Beside(Stored):
    """What changes beside neighbours of one kind."""

    neighbours: str  # LOAD | ACCURACY
    changes: tuple[Change, ...] = ()

    @property
    def harmless(self) -> bool:
        return bool(self.changes) and all(change.within for change in self.changes)

    @property
    def harmful(self) -> bool:
        return any(change.beyond for change in self.changes)

    @property
    def largest(self) -> Change | None:
        return max(self.changes, key=lambda change: abs(change.ratio - 1), default=None)


@dataclass(frozen=True)
class Interference(Stored):
    """An interference test: one variant alone and beside neighbours that run the same, in turn."""

    machine: dict[str, object] = field(default_factory=dict)  # what the result is of: CPU, GPUs, engine, sessions
    variant: str = ""
    model: str = ""
    sessions: int = 0  # engines that ran at once, the measured one included
    rounds: int = 0  # repeats of each state
    took_s: float = 0.0
    measured_at: str = ""
    beside: tuple[Beside, ...] = ()

    @property
    def colocate(self) -> str:
        """What may run beside a session that measures load: all | accuracy | none."""
        harmless = {one.neighbours for one in self.beside if one.harmless}
        return "all" if harmless >= {LOAD, ACCURACY} else "accuracy" if ACCURACY in harmless else "none"

    @property
    def words(self) -> str:
        """The largest change of each kind, in a sentence."""
        told = (
            f"with {one.neighbours}, {one.largest.metric} by {one.largest.words}" for one in self.beside if one.largest
        )
        count = self.sessions - 1
        return f"{count} neighbour{'s' * (count != 1)} changed, at most: {'; '.join(told)}"
