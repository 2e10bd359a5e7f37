"""Divides a plan's sessions into parts that an executor runs side by side. Pure; cells and fingerprints do not change.

A session is divided where free GPUs are worth the further engine starts: load apart from accuracy, load by scenario,
accuracy by suite. All points and repeats of a scenario stay in one engine start, and so do the repeats of a suite.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.executors import Limits, Needs, Task
from harness.executors.packing import Schedule, schedule
from harness.records.cell import PlannedCell
from harness.sweeps.kinds import KINDS
from harness.sweeps.session import JUDGE, VARIANT, Session


@dataclass(frozen=True)
class Part:
    """A session, or some of its cells, as a task. `session` has the part's name and cells."""

    session: Session
    task: Task


@dataclass(frozen=True)
class Division:
    parts: tuple[Part, ...]
    schedule: Schedule

    @property
    def total_s(self) -> float:
        """Estimated seconds of all parts, one after the other."""
        return sum(part.task.estimate_s for part in self.parts)

    @property
    def width(self) -> float:
        """Parts that run at once, on average."""
        return self.total_s / self.schedule.makespan_s if self.schedule.makespan_s else 1.0


@dataclass(frozen=True)
class Work:
    """What is still to be measured in a session, and the GPUs that its server takes."""

    session: Session
    pending: tuple[PlannedCell, ...]
    gpus: int
    start_s: float  # of its engine
    cores: int = 0  # CPU cores that its engine and its load client keep busy


@dataclass(frozen=True)
class _Group:
    """Cells of one scenario or suite, which one engine start measures."""

    name: str
    cells: tuple[PlannedCell, ...]
    seconds: float

    @property
    def times(self) -> bool:
        return any(KINDS[cell.kind].times for cell in self.cells)


def divide(works: Sequence[Work], seconds: Callable[[PlannedCell], float], limits: Limits) -> Division:
    """Return the division with the shortest makespan, where each engine start counts as its share of the GPUs' time."""
    works = [work for work in works if work.pending]
    groups = [_groups(work, seconds) for work in works]
    found = []
    for bound_s in _bounds(works, groups) if limits.width > 1 else [float("inf")]:
        parts = tuple(part for work, own in zip(works, groups, strict=True) for part in _parts(work, own, bound_s))
        parts = tuple(replace(part, task=replace(part.task, after=_answers(part, parts))) for part in parts)
        found.append(Division(parts, schedule([part.task for part in parts], limits)))
    start_s = max((work.start_s for work in works), default=0.0)
    return min(found, key=lambda one: one.schedule.makespan_s + start_s * len(one.parts) / max(1, limits.width))


def _groups(work: Work, seconds: Callable[[PlannedCell], float]) -> list[_Group]:
    """By scenario or suite, in the plan's order; a session of no variant is one group."""
    found: dict[str, list[PlannedCell]] = {}
    for cell in work.pending:
        name = cell.scenario or cell.suite or "" if work.session.kind == VARIANT else ""
        found.setdefault(name, []).append(cell)
    return [_Group(name, tuple(cells), sum(map(seconds, cells))) for name, cells in found.items()]


def _bounds(works: Sequence[Work], groups: Sequence[Sequence[_Group]]) -> list[float]:
    """Longest durations of a part to try: a session whole, in halves, in thirds, ..., to one group each."""
    bounds = {float("inf")}
    for work, own in zip(works, groups, strict=True):
        total_s = sum(group.seconds for group in own)
        bounds |= {float(f"{work.start_s + total_s / number:.2g}") for number in range(1, len(own) + 1)}
    return sorted(bounds, reverse=True)


def _parts(work: Work, groups: Sequence[_Group], bound_s: float) -> Iterator[Part]:
    session = work.session
    if work.start_s + sum(group.seconds for group in groups) <= bound_s or len(groups) == 1:
        yield _part(work, session.name, groups)
        return
    for what, times in (("load", True), ("accuracy", False)):
        bins = _bins([group for group in groups if group.times == times], bound_s - work.start_s)
        for number, chosen in enumerate(bins, 1):
            which = chosen[0].name if len(chosen) == 1 else f"{what} {number}/{len(bins)}" if len(bins) > 1 else what
            yield _part(work, f"{session.name}, {which}", chosen)


def _bins(groups: Sequence[_Group], bound_s: float) -> list[list[_Group]]:
    """Return the fewest bins in which none is longer than the bound, or one bin a group."""
    for count in range(1, len(groups) + 1):
        bins = [list[_Group]() for _ in range(count)]
        for group in sorted(groups, key=lambda group: -group.seconds):
            min(bins, key=lambda one: sum(other.seconds for other in one)).append(group)
        if all(sum(group.seconds for group in one) <= bound_s for one in bins) or count == len(groups):
            return [sorted(one, key=groups.index) for one in bins]
    return []


def _part(work: Work, name: str, groups: Sequence[_Group]) -> Part:
    cells = tuple(cell for group in groups for cell in group.cells)
    session = narrowed(work.session, name, cells)
    needs = Needs(work.gpus, work.cores, times=any(group.times for group in groups))
    return Part(session, Task(name, needs, work.start_s + sum(group.seconds for group in groups)))


def narrowed(session: Session, name: str, cells: tuple[PlannedCell, ...]) -> Session:
    """Return the session with these of its cells alone."""
    return replace(
        session,
        name=name,
        cells=cells,
        scenarios=tuple(dict.fromkeys(cell.scenario for cell in cells if cell.scenario)),
        suites=tuple(dict.fromkeys(cell.suite for cell in cells if cell.suite)),
    )


def reads(part: Part, other: Part) -> bool:
    """Whether a part judges what the other gathers."""
    return part.session.kind == JUDGE and part is not other and bool({*part.session.suites} & {*other.session.suites})


def _answers(part: Part, parts: Iterable[Part]) -> tuple[str, ...]:
    """Return the tasks that gather what the part judges."""
    return tuple(one.task.name for one in parts if reads(part, one))
