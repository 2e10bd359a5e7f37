"""Pareto fronts: what each variant keeps against what it gains, and which variants another one beats.

What it keeps is its average accuracy recovery; where no variant has one (every suite at chance, or none measured), the
ratio of perplexities. The front is that of the point estimates. "Dominated" says more: another variant's intervals are
above on both axes. A gain of which only a bound is known is beside the front, neither on it nor dominated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.analysis.quality.accuracy import AverageRecovery
from harness.analysis.quality.texts import TextDistance, perplexity_ratios
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study

RECOVERY, PERPLEXITY = "recovery", "perplexity_ratio"


@dataclass(frozen=True)
class Quality:
    """What a variant keeps, relative to the baseline's; `values` of every variant but the baseline that has one."""

    name: str  # RECOVERY | PERPLEXITY
    values: Mapping[str, Estimate]
    absent: Mapping[str, str] = field(default_factory=dict)  # variants without one, and why

    @property
    def lower_is_better(self) -> bool:
        return self.name == PERPLEXITY

    def rising(self, value: Estimate) -> Estimate:
        """The value on a scale on which more is better."""
        if not self.lower_is_better:
            return value
        low, high = (None if bound is None else 1 / bound for bound in (value.high, value.low))
        return Estimate(1 / value.value, low, high)


@dataclass(frozen=True)
class Bound:
    """A gain that is known as a bound: at least `low`, at most `high`; None on a side that has none."""

    low: float | None
    high: float | None
    quality: Estimate


@dataclass(frozen=True)
class Front:
    """A quality (y) against a performance gain (x), both relative to the baseline, which is at (1, 1)."""

    name: str
    title: str
    axis: str
    quality: str  # RECOVERY | PERPLEXITY
    points: dict[str, tuple[Estimate, Estimate]]
    front: tuple[str, ...]  # of the point estimates, by rising x
    dominated: dict[str, list[str]]  # with those whose intervals are above on both axes
    absent: dict[str, str]  # variants that cannot be placed, and why
    bounds: dict[str, Bound] = field(default_factory=dict)

    @property
    def drawn(self) -> bool:
        """More than the baseline, which alone is no comparison."""
        return len(self.points) + len(self.bounds) > 1


def quality(
    study: Study, averages: Mapping[str, AverageRecovery], texts: Mapping[tuple[str, str], TextDistance]
) -> Quality:
    """Average recovery; the ratio of perplexities where no variant has a recovery and a text was scored."""
    recoveries = {name: found.recovery for name, found in averages.items() if found.recovery is not None}
    if not recoveries and (ratios := perplexity_ratios(texts)):
        lacking = (name for name in study.compared if name not in ratios)
        return Quality(PERPLEXITY, ratios, dict.fromkeys(lacking, "no perplexity to compare with the baseline's"))
    absent = {name: f"no average recovery: {averages[name].reason}" for name in averages if name not in recoveries}
    return Quality(RECOVERY, recoveries, absent)


def fronts(study: Study, kept: Quality, means: Mapping[str, Speedups]) -> tuple[Front, ...]:
    """Latency, capacity and throughput, these two per GPU where GPUs differ; cost too where the user gave a price."""
    latency = {name: found.latency for name, found in means.items()}
    capacity = {name: per_gpu(study, name, found.capacity) for name, found in means.items()}
    bounds = {name: _bounds_per_gpu(study, name, found.capacity_bounds) for name, found in means.items()}
    throughput = {name: per_gpu(study, name, found.throughput) for name, found in means.items()}
    per = " per GPU" if study.gpus_differ else ""
    names = ("capacity", "capacity at the SLO", f"requests/s at the SLO{per}")
    found = [
        _front(study, ("latency", "single-stream latency", "single-stream speed-up"), kept, latency),
        _front(study, names, kept, capacity, bounds),
        _front(study, ("throughput", "throughput", f"output tokens/s, all requests at once{per}"), kept, throughput),
    ]
    if study.settings.price:  # of a GPU-hour, the same for every variant: cheaper by what a GPU serves more
        axis = f"tokens per {study.settings.price.currency} at the SLO"
        found.insert(2, _front(study, ("cost", "cost", axis), kept, capacity, bounds))
    return tuple(found)


def per_gpu(study: Study, name: str, gain: Estimate | None) -> Estimate | None:
    """A gain over the baseline, for each GPU of both."""
    if gain is None or study.baseline not in study.variants:
        return None
    share = _share(study, name)
    return Estimate(gain.value * share, *(None if bound is None else bound * share for bound in (gain.low, gain.high)))


def _bounds_per_gpu(
    study: Study, name: str, bounds: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    if study.baseline not in study.variants:
        return None, None
    low, high = (None if bound is None else bound * _share(study, name) for bound in bounds)
    return low, high


def _share(study: Study, name: str) -> float:
    return study.variants[study.baseline].gpus / study.variants[name].gpus


def _front(
    study: Study,
    names: tuple[str, str, str],
    kept: Quality,
    gains: Mapping[str, Estimate | None],
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> Front:
    placed = {study.baseline: (Estimate(1.0), Estimate(1.0))} if study.baseline in study.variants else {}
    absent, bounded = {}, {}
    for variant in study.compared:
        value, gain, bound = kept.values.get(variant), gains[variant], (bounds or {}).get(variant, (None, None))
        if value is None:
            absent[variant] = kept.absent[variant]
        elif gain is not None:
            placed[variant] = (gain, value)
        elif bound != (None, None):
            bounded[variant] = Bound(*bound, value)
        else:
            absent[variant] = f"no {names[1]} to compare with the baseline's in every scenario"
    rising = {variant: (x, kept.rising(y)) for variant, (x, y) in placed.items()}
    values = {variant: (x.value, y.value) for variant, (x, y) in rising.items()}
    exact = Estimate(1.0, 1.0, 1.0)  # the baseline's, by definition
    known = rising | ({study.baseline: (exact, exact)} if study.baseline in placed else {})
    return Front(*names, kept.name, placed, tuple(front(values)), dominated(known), absent, bounded)


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """`a` is at least as good on both axes and better on one."""
    return a[0] >= b[0] and a[1] >= b[1] and a != b


def front(points: dict[str, tuple[float, float]]) -> list[str]:
    """Names that nothing dominates, by rising x. Equal points do not dominate each other."""
    best = [name for name, p in points.items() if not any(dominates(other, p) for other in points.values())]
    return sorted(best, key=lambda name: (*points[name], name))


def dominated(points: dict[str, tuple[Estimate, Estimate]]) -> dict[str, list[str]]:
    """Every dominated name with those that dominate it: their intervals are above its own on both axes.

    Estimates without an interval dominate nothing and are dominated by nothing.
    """
    found = {name: [o for o, q in points.items() if all(map(_above, q, p))] for name, p in points.items()}
    return {name: others for name, others in found.items() if others}


def _above(a: Estimate, b: Estimate) -> bool:
    return a.low is not None and b.high is not None and a.low > b.high
