"""What each start measured at each load point: a value a start, of all starts of A and of B that had the same load.

A store is a start: its repeats share a server, so they make one value, the geometric mean. Of starts with unequal
numbers of valid repeats each counts with its first few, as many as the start with the fewest has: else a start of one
repeat would vary more than those that it is held against.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.comparison import Comparison, Side
from harness.analysis.load_changes import A, B
from harness.analysis.speed.readings import INTERPOLATED, MEASURED
from harness.analysis.statistics.starts import StartChange, start_change
from harness.errors import ConfigError

Key = tuple[str, str, str]  # scenario, load point's label, metric
CAPACITY = ("capacity", "capacity_rps")  # of the key of a capacity
Repeats = dict[Key, list[float]]


@dataclass(frozen=True)
class Starts:
    """`values`: the reference's and the candidate's, a number a start. `places`: the starts' stores, (A's, B's)."""

    values: dict[Key, tuple[tuple[float, ...], tuple[float, ...]]]
    places: tuple[tuple[str, ...], tuple[str, ...]]

    def change(self, key: Key) -> StartChange | None:
        if key not in self.values:
            return None
        a, b = self.values[key]
        return start_change(a, b, self.places if self._whole(a, b) else None)

    def over(self, keys: Sequence[Key]) -> StartChange | None:
        """The change of the geometric mean over several load points, from starts that have them all."""
        found = [self.values.get(key, ((), ())) for key in keys]
        if not all(self._whole(a, b) for a, b in found):
            return None
        means = [np.exp(np.mean(np.log([pair[side] for pair in found]), axis=0)) for side in (0, 1)]
        return start_change(means[0].tolist(), means[1].tolist(), self.places)

    def _whole(self, a: Sequence[float], b: Sequence[float]) -> bool:
        """Whether these are values of all starts."""
        return (len(a), len(b)) == tuple(len(side) for side in self.places)


def start_values(reference: Sequence[Comparison], candidate: Sequence[Comparison]) -> Starts:
    """`reference`: each start of A against one of B; `candidate`: one start of A against each of B."""
    sides = [[_repeats(c, A) for c in reference], [_repeats(c, B) for c in candidate]]
    keys = dict.fromkeys(key for side in sides for repeats in side for key in repeats)
    values = {}
    for key in keys:
        found = [[repeats[key] for repeats in side if key in repeats] for side in sides]
        if all(found):
            least = min(len(repeats) for side in found for repeats in side)
            one, two = (tuple(_geometric(repeats[:least]) for repeats in side) for side in found)
            values[key] = (one, two)
    return Starts(values, (tuple(c.a.place for c in reference), tuple(c.b.place for c in candidate)))


def check_apart(sides: Sequence[Side]) -> None:
    """Raise ConfigError where two of several starts hold the same records: they would be counted twice.

    Of one start of A and one of B that is said in the comparison.
    """
    if len(sides) < 3:
        return
    seen: dict[tuple[str, str, str], str] = {}
    for side in sides:
        for m in side.study.measured:
            if m.cell.variant == side.variant and m.started_at:
                place = seen.setdefault((side.variant, m.cell.key, m.started_at), side.place)
                if place != side.place:
                    raise ConfigError(f"{place} and {side.place} hold the same records; give each measurement once")


def speed_alone(side: Side) -> Side:
    """The side without its suites: of further starts only the speed is read."""
    measured = tuple(m for m in side.study.measured if not m.cell.suite)
    return replace(side, study=replace(side.study, suites=(), measured=measured))


def _repeats(comparison: Comparison, word: str) -> Repeats:
    findings, found = comparison.findings, {}
    for change in comparison.changes:
        if change.reason is None and change.a and change.b:
            points = {p.point.label: p for p in findings.points[word, change.scenario]}
            found[change.scenario, change.load, change.metric] = points[change.load].values(change.metric)
    for scenario in comparison.study.scenarios:
        reading = findings.capacities[word, scenario]
        if reading.value and reading.status in (MEASURED, INTERPOLATED):
            found[(scenario, *CAPACITY)] = [reading.value]
    return found


def _geometric(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
