"""Which variant to ship: from the verdicts and gains that the study has, one answer, and None where it has none.

1. Accuracy. A variant is safe when its non-inferiority to the baseline, at the sweep's margin, is established on every
   suite that is scored item by item, and the baseline is not at chance there: of two models that guess, one is as good
   as the other. To claim all of them each is tested at full level: an intersection-union test needs no
   correction (R. L. Berger 1982, Technometrics 24, 295). A win rate whose interval is below one half, or a
   suite that has no valid comparison, rules a variant out.
2. Speed, among the safe ones: the first of capacity at the SLO, single-stream latency and throughput that the study
   has. A gain counts when its whole interval is above 1 and rests on repeats: one run, or one search, does not show
   how runs differ. Kernels that are emulated here have none. Where numbers of GPUs differ, capacity and throughput
   are per GPU.
   A variant's other deployments have its accuracy and their own speeds; the baseline's are no candidates.
3. The largest gain is shipped. Others whose interval reaches into its own are not told apart from it: that they share
   the baseline's error makes this cautious. The choice among variants is not corrected for their number.
"""

from dataclasses import dataclass, field

from harness.analysis.decision.pareto import per_gpu
from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.quality.judge import WinRate
from harness.analysis.quality.paired import ESTABLISHED, INCONCLUSIVE
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study

MEASURES = ("capacity", "latency", "throughput")


@dataclass(frozen=True, order=True)
class Wanted:
    """`items` that would show an equal variant, for the one that disagrees most; `population`: those of the suite."""

    items: int
    population: int | None  # None: not known
    span: tuple[int, int] = (0, 0)  # `items` by the lowest and the highest share of disagreements that fits the data


@dataclass(frozen=True)
class Recommendation:
    """`ship`: the largest significant gain first, then those not told apart from it; empty: no recommendation."""

    ship: tuple[str, ...]
    safe: tuple[str, ...]  # non-inferior on every suite, in the sweep's order; without their other deployments
    suites: tuple[str, ...]  # the suites that this rests on
    measure: str | None  # of MEASURES: what the gains are of; None: no safe variant has a speed to compare
    gains: dict[str, Estimate]  # of the safe variants, and their deployments, that have the measure
    ruled_out: dict[str, str]  # the other variants, and why: "gsm8k: inconclusive"
    wanted: dict[str, Wanted] = field(default_factory=dict)  # by suite
    within_search: tuple[str, ...] = ()  # of `gains`: capacities of single searches


def recommend(
    study: Study,
    suites: dict[tuple[str, str], SuiteResult],
    win_rates: dict[tuple[str, str], WinRate],
    speedups: dict[str, Speedups],
    emulated: tuple[str, ...],
) -> Recommendation | None:
    """None for a study that compares no other form of the model, or serves nothing."""
    if not study.forms or not (study.suites or study.scenarios):
        return None
    scored = tuple(suite for suite in study.suites if any(key[1] == suite for key in suites))
    ruled_out = {name: why for name in study.forms if (why := _unsafe(study.baseline, name, scored, suites, win_rates))}
    safe = tuple(name for name in study.forms if name not in ruled_out)
    of = {name: study.variants[name].accuracy_of or name for name in study.compared}
    able = [name for name in study.compared if of[name] in safe and name not in emulated]
    measure = next((m for m in MEASURES if any(_gain(study, speedups, name, m) for name in able)), None)
    found = {name: _gain(study, speedups, name, measure) for name in able} if measure else {}
    gains = {name: gain for name, gain in found.items() if gain is not None}
    single = tuple(n for n in gains if measure == "capacity" and speedups[n].capacity_within_search)
    best = _best({name: gain for name, gain in gains.items() if name not in single})
    return Recommendation(best, safe, scored, measure, gains, ruled_out, _wanted(list(ruled_out), suites), single)


def _wanted(names: list[str], suites: dict[tuple[str, str], SuiteResult]) -> dict[str, Wanted]:
    """Return the items that are lacking, by suite on which something is inconclusive for want of items."""
    found: dict[str, Wanted] = {}
    for (name, suite), result in suites.items():
        c = result.comparison
        if name in names and c and c.verdict == INCONCLUSIVE and (items := c.items_to_show or 0) > result.items:
            wanted = Wanted(items, result.population, c.items_range or (items, items))
            found[suite] = max(found.get(suite, Wanted(0, 0)), wanted)
    return found


def _unsafe(baseline: str, name: str, scored: tuple[str, ...], suites: dict, win_rates: dict) -> str | None:
    if not scored:
        return "no suite is scored"
    for suite in scored:
        result = suites.get((name, suite))
        if result is None or result.comparison is None:
            return f"{suite}: {result.not_compared if result and result.not_compared else 'not measured'}"
        if result.comparison.verdict != ESTABLISHED:
            return f"{suite}: {result.comparison.verdict or 'the baseline scored nothing'}"
        if (base := suites.get((baseline, suite))) and base.at_chance:
            return f"{suite}: the baseline is at chance"
    for (variant, suite), rate in win_rates.items():
        if variant == name and rate.win_rate and rate.win_rate.high is not None and rate.win_rate.high < 0.5:
            return f"{suite}: loses"
    return None


def _gain(study: Study, speedups: dict[str, Speedups], name: str, measure: str) -> Estimate | None:
    found = speedups.get(name)
    gain = getattr(found, measure) if found else None
    return gain if gain is None or measure == "latency" else per_gpu(study, name, gain)


def _best(gains: dict[str, Estimate]) -> tuple[str, ...]:
    """Significant gains, the largest first, and those whose interval reaches into the largest one's."""
    shown = {name: gain for name, gain in gains.items() if gain.low is not None and gain.low > 1}
    ranked = sorted(shown, key=lambda name: -shown[name].value)
    return tuple(name for name in ranked if _reaches(shown[name], shown[ranked[0]]))


def _reaches(gain: Estimate, largest: Estimate) -> bool:
    """Whether the interval of a gain ends inside or above that of the largest one."""
    return gain.high is None or largest.low is None or gain.high >= largest.low
