"""Pareto fronts: accuracy against what each variant gains, and which variants another one beats.

The front is that of the point estimates. "Dominated" says more: another variant's intervals are above on both axes.
"""

from dataclasses import dataclass

from harness.analysis.quality.accuracy import AverageRecovery
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study


@dataclass(frozen=True)
class Front:
    """Average recovery (y) against a performance gain (x), both relative to the baseline, which is at (1, 1)."""

    name: str
    title: str
    axis: str
    points: dict[str, tuple[Estimate, Estimate]]
    front: tuple[str, ...]  # of the point estimates, by rising x
    dominated: dict[str, list[str]]  # with those whose intervals are above on both axes
    absent: dict[str, str]  # variants that cannot be placed, and why


def fronts(study: Study, averages: dict[str, AverageRecovery], means: dict[str, Speedups]) -> tuple[Front, ...]:
    """Latency, capacity and throughput, these two per GPU where GPUs differ; cost too where the user gave a price."""
    capacity = {name: per_gpu(study, name, found.capacity) for name, found in means.items()}
    throughput = {name: per_gpu(study, name, found.throughput) for name, found in means.items()}
    per = " per GPU" if study.gpus_differ else ""
    found = [
        _front(study, ("latency", "single-stream latency", "single-stream speed-up"), averages,
               {name: mean.latency for name, mean in means.items()}),
        _front(study, ("capacity", "capacity at the SLO", f"requests/s at the SLO{per}"), averages, capacity),
        _front(study, ("throughput", "throughput", f"output tokens/s, all at once{per}"), averages, throughput),
    ]  # fmt: skip
    if study.settings.price:  # of a GPU-hour, the same for every variant: cheaper by what a GPU serves more
        axis = f"tokens per {study.settings.price.currency} at the SLO"
        found.insert(2, _front(study, ("cost", "cost", axis), averages, capacity))
    return tuple(found)


def per_gpu(study: Study, name: str, gain: Estimate | None) -> Estimate | None:
    """A gain over the baseline, for each GPU of both."""
    if gain is None or study.baseline not in study.variants:
        return None
    share = study.variants[study.baseline].gpus / study.variants[name].gpus
    return Estimate(gain.value * share, *(None if bound is None else bound * share for bound in (gain.low, gain.high)))


def _front(study: Study, names: tuple[str, str, str], averages: dict, gains: dict[str, Estimate | None]) -> Front:
    placed = {study.baseline: (Estimate(1.0), Estimate(1.0))} if study.baseline in study.variants else {}
    absent = {}
    for variant in study.compared:
        average, gain = averages[variant], gains[variant]
        if average.recovery is None:
            absent[variant] = f"no average recovery: {average.reason}"
        elif gain is None:
            absent[variant] = f"no {names[1]} to compare with the baseline's in every scenario"
        else:
            placed[variant] = (gain, average.recovery)
    values = {variant: (x.value, y.value) for variant, (x, y) in placed.items()}
    exact = Estimate(1.0, 1.0, 1.0)  # the baseline's, by definition
    known = placed | ({study.baseline: (exact, exact)} if study.baseline in placed else {})
    return Front(*names, placed, tuple(front(values)), dominated(known), absent)


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
