"""Estimates of a run's phases: what this machine took before, else rules of thumb; and the time that is left.

A phase takes its rule of thumb times the ratio that phases like it had (durations.py). While a run goes on, what it
measures is learned at once, and what is left is scaled by how true the last estimates were.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from harness.records.phase import CHECKPOINT, ENVIRONMENT, REPORT, START, WARM_UP, Phase, PhaseTime
from harness.records.store import Store
from harness.sweeps.estimates import durations
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.pace import Answer
from harness.sweeps.estimates.phases import Phases
from harness.sweeps.kinds import KINDS
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared

RECENT = 15  # finished phases whose estimates are compared with what they took
ENOUGH_S = 10.0  # of them, before the comparison counts
MOST = 5.0

Answers = Mapping[str, Answer]
NONE_ASKED: Answers = {}


class Estimates:
    """The phases ahead, and what they are expected to take. `rules`: what the rules of thumb start from, in words."""

    def __init__(self, phases: Iterable[Phase], known: Durations, rules: str = ""):
        self.ahead = {phase.key: phase for phase in phases}
        self.known, self.rules = known, rules
        self._planned = {key: self.seconds(phase) for key, phase in self.ahead.items()}
        # (estimated, taken) of cells by whether they were estimated from measurements: a rule that is wrong for this
        # machine is learned with the first cell of its kind, and must not count twice
        self._recent: dict[bool, deque[tuple[float, float]]] = {one: deque(maxlen=RECENT) for one in (True, False)}

    def seconds(self, phase: Phase) -> float:
        found = self.known.learned(phase)
        return phase.rule_s * (found.ratio if found else 1.0)

    def of_cell(self, key: str) -> float:
        """Estimate a cell that is still to be measured; 0 for another."""
        return self.seconds(self.ahead[key]) if key in self.ahead else 0.0

    def of(self, session: str) -> list[Phase]:
        """Return the phases ahead of a session, in order."""
        return [phase for phase in self.ahead.values() if phase.session == session]

    def of_session(self, name: str) -> float:
        return sum(map(self.seconds, self.of(name)))

    def beginning_s(self, name: str) -> float:
        """Return what each start of a session's engine takes before its first cell."""
        return sum(self.seconds(phase) for phase in self.of(name) if phase.kind in (START, WARM_UP))

    @property
    def total_s(self) -> float:
        return sum(map(self.seconds, self.ahead.values()))

    def by_kind(self) -> dict[str, float]:
        """Return the seconds ahead of each kind of phase that there is, in the order of a session."""
        found = dict.fromkeys((ENVIRONMENT, CHECKPOINT, START, WARM_UP, *KINDS, REPORT), 0.0)
        for phase in self.ahead.values():
            found[phase.kind] += self.seconds(phase)
        return {kind: seconds for kind, seconds in found.items() if seconds}

    @property
    def basis(self) -> str:
        """What the estimate rests on, in a few words."""
        cells = [phase for phase in self.ahead.values() if phase.kind in KINDS]
        learned = sum(self.known.learned(phase) is not None for phase in cells)
        others = Counter(
            phase.kind for phase in self.ahead.values() if phase.kind not in KINDS and not self.known.learned(phase)
        )
        rule = f"rules of thumb {self.rules}".strip()
        if cells and not learned:
            return f"{rule}: no earlier measurement on this machine"
        count = f"{learned} of {len(cells)}" if learned < len(cells) else f"all {len(cells)}"
        said = f"earlier measurements of this machine for {count} cells"
        rest = [*(["the other cells"] if learned < len(cells) else []), *(f"{kind}s" for kind in others)]
        return said + (f"; {rule} for {', '.join(rest)}" if rest else "")

    def took(self, key: str, seconds: float) -> tuple[Phase, float] | None:
        """Take a finished phase off, and learn from it. Return it with its first estimate; None for one not ahead."""
        phase = self.ahead.pop(key, None)
        if phase is None:
            return None
        if phase.kind in KINDS:
            self._recent[self.known.learned(phase) is not None].append((self.seconds(phase), seconds))
        self.known.add(phase, seconds)
        return phase, self._planned[key]

    def again(self, phase: Phase) -> None:
        """Put a phase back that is to be repeated."""
        self.ahead[phase.key] = phase

    def dropped(self, key: str) -> None:
        """Take off a phase that failed: nothing is learned from it."""
        self.ahead.pop(key, None)

    def left_s(self) -> float:
        """Return the time left: phases of sessions that still have cells, as true as the last estimates were."""
        alive = {phase.session for phase in self.ahead.values() if phase.kind in KINDS} | {""}
        scale = {learned: self._scale(learned) for learned in (True, False)}
        ahead = (phase for phase in self.ahead.values() if phase.session in alive)
        return sum(self.seconds(phase) * scale[self.known.learned(phase) is not None] for phase in ahead)

    def _scale(self, learned: bool) -> float:
        """Return what recent cells took over their estimates."""
        estimated_s = sum(estimated for estimated, _ in self._recent[learned])
        if estimated_s < ENOUGH_S:
            return 1.0
        return min(max(sum(taken for _, taken in self._recent[learned]) / estimated_s, 1 / MOST), MOST)


def known_durations(prepared: Prepared, plan: Plan, store: Store, answers: Answers = NONE_ASKED) -> Durations:
    """Return what this machine took for phases, by the cache and by the cells that the sweep has."""
    phases = Phases(prepared, answers)
    known = Durations(durations.read(prepared.workshop.cache_dir, phases.machine))
    records = {cell.key: store.record(cell.fingerprint) for cell in plan.cells if cell.fingerprint in store}
    for phase, seconds in phases.measured(plan, records):
        known.add(phase, seconds)
    return known


def estimates(
    prepared: Prepared, plan: Plan, store: Store, known: Durations, answers: Answers = NONE_ASKED
) -> Estimates:
    """Estimate what a run would do now. `answers`: of the servers of someone else, by session."""
    phases = Phases(prepared, answers)
    return Estimates(phases.ahead(plan, store), known, phases.device.words)


def finished(phase: Phase, seconds: float, estimated_s: float) -> PhaseTime:
    ended_at = datetime.now(UTC).isoformat(timespec="seconds")
    known = {name: getattr(phase, name) for name in Phase.__dataclass_fields__}
    return PhaseTime(**known, seconds=round(seconds, 3), estimated_s=round(estimated_s, 3), ended_at=ended_at)
