"""What more to measure so that a recommendation becomes possible, and the setting of the sweep that adds it.

Items: `items_to_show` of the suite's comparison, on which an equivalent variant is established with 80 % power, times
((z(1 - a/m) + z.80) / (z(1 - a) + z.80))² for a test that is corrected for m variants, a = 2.5 %. Windows of a text,
and items where `items_to_show` are measured already: n·((z(1 - a/m) + z.80)·SE / distance)², SE the error of the
estimate over the n that are measured and distance from the estimate to its limit. Repeats: the least that finds the
estimated gain with 80 % power, if runs differ as they did; FIRST_REPEATS where they are not known to differ.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, log, log10

from harness.analysis.decision.criteria import AT_CHANCE, LEVEL, NON_INFERIOR, PERPLEXITY_RATIO, Candidate, Criterion
from harness.analysis.decision.objective import ObjectiveGain
from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.quality.paired import ESTABLISHED, INCONCLUSIVE
from harness.analysis.statistics.significance import ALPHA, POWER, quantile
from harness.analysis.study import Study

ITEMS, WINDOWS, REPEATS = "items", "windows", "repeats"
TOO_FEW, NO_DISTANCE = "too few", "no distance"
FIRST_REPEATS, MOST_REPEATS = 3, 30
_Z, _Z_POWER = quantile(1 - ALPHA / 2), quantile(POWER)


@dataclass(frozen=True)
class Need:
    """`needed` of a `unit` where `measured` are measured; `why`: no number of them that there is decides."""

    subject: str  # the suite; "" of repeats
    unit: str  # ITEMS | WINDOWS | REPEATS
    measured: int
    needed: int
    population: int | None = None  # None: not known
    span: tuple[int, int] = (0, 0)  # `needed` by the lowest and the highest share of disagreements that fits the data
    why: str | None = None  # AT_CHANCE | TOO_FEW: the suite has too few | NO_DISTANCE: the estimate is at its limit
    margin: float | None = None  # TOO_FEW: a margin at which all items of the suite would do, about

    @property
    def setting(self) -> str | None:
        """The setting that adds it: ``suites.mmlu.items=1200``, ``load.repeats=3``; None where `why`."""
        if self.why:
            return None
        if self.unit == REPEATS:
            return f"load.repeats={self.needed}"
        whole = self.population is not None and self.needed >= self.population
        return f"suites.{self.subject}.items={'null' if whole else self.needed}"


def needs_of_criteria(
    study: Study,
    found: Mapping[str, Candidate],
    suites: Mapping[tuple[str, str], SuiteResult],
    names: Iterable[str],
) -> tuple[Need, ...]:
    """What the criteria of `names` lack, by suite the most of it."""
    tested = max(1, sum(one.p is not None for one in found.values()))
    most: dict[tuple[str, str], Need] = {}
    for name in names:
        for criterion in found[name].criteria if found[name].status == INCONCLUSIVE else ():
            if criterion.status == ESTABLISHED and criterion.p is not None and criterion.p <= LEVEL / tested:
                continue
            need = _need(study, criterion, suites.get((name, criterion.suite)), tested)
            place = (need.subject, need.unit)
            if place not in most or _rank(need) > _rank(most[place]):
                most[place] = need
    return tuple(most.values())


def needs_of_gains(gain: ObjectiveGain, tested: int) -> tuple[Need, ...]:
    """The repeats that an established gain lacks; `tested`: variants that the test is corrected for."""
    if gain.established:
        return ()
    measured = max(1, gain.repeats)
    if gain.p is None or gain.estimate.low is None:
        return (Need("", REPEATS, measured, max(FIRST_REPEATS, measured + 1)),)
    freedom = max(1, measured - 1)
    spread = log(gain.estimate.value / gain.estimate.low) / quantile(1 - ALPHA / 2, freedom) * measured**0.5
    for repeats in range(measured + 1, MOST_REPEATS + 1):
        least = quantile(1 - LEVEL / max(1, tested), repeats - 1) + _Z_POWER
        if log(gain.estimate.value) >= least * spread / repeats**0.5:
            return (Need("", REPEATS, measured, repeats),)
    return (Need("", REPEATS, measured, MOST_REPEATS, why=NO_DISTANCE),)


def _rank(need: Need) -> tuple[bool, int]:
    return need.why is not None, need.needed


def _need(study: Study, criterion: Criterion, result: SuiteResult | None, tested: int) -> Need:
    unit = ITEMS if criterion.kind == NON_INFERIOR else WINDOWS
    shape = (criterion.suite, unit, criterion.measured)
    if criterion.reason == AT_CHANCE:
        return Need(*shape, criterion.measured, criterion.population, why=AT_CHANCE)
    corrected = quantile(1 - LEVEL / tested) + _Z_POWER
    comparison = result.comparison if result else None
    known = comparison.items_to_show if comparison else None
    if comparison and known and known > criterion.measured:
        factor = (corrected / (_Z + _Z_POWER)) ** 2
        low, high = (_rounded(factor * count) for count in comparison.items_range or (known, known))
        needed = _rounded(factor * known)
        if criterion.population is not None and low > criterion.population:
            margin = study.margin * (needed / criterion.population) ** 0.5
            return Need(*shape, needed, criterion.population, (low, high), TOO_FEW, ceil(200 * margin) / 200)
        return Need(*shape, needed, criterion.population, (low, high))
    if not (more := _by_distance(criterion, corrected)):
        return Need(*shape, criterion.measured, criterion.population, why=NO_DISTANCE)
    too_few = criterion.population is not None and more > criterion.population
    return Need(*shape, more, criterion.population, (more, more), TOO_FEW if too_few else None)


def _by_distance(criterion: Criterion, corrected: float) -> int | None:
    """None where the estimate does not keep its limit, or has no interval."""
    estimate, above = criterion.estimate, criterion.kind == NON_INFERIOR
    end = (estimate.low if above else estimate.high) if estimate else None
    if estimate is None or end is None or not criterion.met_by_value or estimate.value == criterion.limit:
        return None
    value, end, limit = (
        log(x) if criterion.kind == PERPLEXITY_RATIO else x for x in (estimate.value, end, criterion.limit)
    )
    error = abs(value - end) / _Z
    needed = criterion.measured * (corrected * error / abs(value - limit)) ** 2
    return _rounded(max(needed, criterion.measured + 1))


def _rounded(count: float) -> int:
    """Two significant digits, rounded up."""
    step = 10 ** max(0, int(log10(max(1.0, count))) - 1)
    return ceil(count / step) * step
