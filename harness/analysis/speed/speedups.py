"""Gains over the baseline, as one number a variant: geometric means over scenarios, each with equal weight.

A repeat gives one value, its geometric mean over the scenarios; intervals are Welch's over the repeats.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import geometric_mean

from harness.analysis.speed.capacity import Gain, gain_bounds, mean_gain
from harness.analysis.speed.performance import PointResult, Points, at, comparable, fewest_repeats, mean_ratio
from harness.analysis.speed.readings import Reading
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study


@dataclass(frozen=True)
class Speedups:
    """More than 1 is better than the baseline; None where it cannot be compared."""

    latency: Estimate | None  # single stream, E2E p50
    throughput: Estimate | None  # output tok/s, all requests at once
    capacity: Estimate | None  # highest request rate at the SLO, over `capacity_scenarios`
    capacity_scenarios: tuple[str, ...] = ()  # the scenarios that have the ratio for every variant
    capacity_within_search: bool = False  # its interval is that of single searches: how these differ is not in it
    capacity_bounds: tuple[float | None, float | None] = (None, None)  # where `capacity` is None: (at least, at most)
    repeats: Mapping[str, int] = field(default_factory=dict)  # by latency, throughput, capacity: of the side with fewer


def speedups(
    study: Study,
    points: Points,
    capacities: dict[tuple[str, str], Reading],
    gains: dict[tuple[str, str], Gain | None],
) -> dict[str, Speedups]:
    """By variant, for every variant but the baseline; `gains`: of the capacity, by (variant, scenario)."""
    shared = shared_scenarios(study, gains)
    found = {}
    for name in study.compared:
        exact = bool(shared) and all(_exact(gains.get((name, scenario))) for scenario in shared)
        sides = ([capacities[variant, scenario] for scenario in shared] for variant in (study.baseline, name))
        capacity = mean_gain(*sides) if exact else None
        latency, single = _mean_latency(study, points, name)
        throughput, at_once = _mean_throughput(study, points, name)
        repeats = {"latency": single, "throughput": at_once}
        if capacity is None:
            bounds = _mean_bounds(study, capacities, name, shared)
            found[name] = Speedups(latency, throughput, None, capacity_bounds=bounds, repeats=repeats)
        else:
            repeats["capacity"] = capacity.repeats
            within = capacity.within_search
            found[name] = Speedups(latency, throughput, capacity.estimate, shared, within, repeats=repeats)
    return found


def shared_scenarios(study: Study, gains: dict[tuple[str, str], Gain | None]) -> tuple[str, ...]:
    """Scenarios in which every variant that has any exact ratio of capacities has one: means over them compare."""
    able = [name for name in study.compared if any(_exact(gains.get((name, s))) for s in study.scenarios)]
    return tuple(s for s in study.scenarios if able and all(_exact(gains.get((name, s))) for name in able))


def _mean_bounds(
    study: Study, capacities: dict[tuple[str, str], Reading], name: str, shared: tuple[str, ...]
) -> tuple[float | None, float | None]:
    """Geometric means of the ratio's bounds over `shared`, the scenarios of the other variants' ratios, else over all
    that have an SLO; None on a side that some scenario does not bound."""
    chosen = shared or tuple(scenario for scenario, facts in study.scenarios.items() if facts.slo)
    found = [gain_bounds(*(capacities.get((variant, s)) for variant in (study.baseline, name))) for s in chosen]
    lows, highs = [low for low, _ in found if low], [high for _, high in found if high]
    low, high = (geometric_mean(side) if side and len(side) == len(found) else None for side in (lows, highs))
    return low, high


def _exact(gain: Gain | None) -> Estimate | None:
    """The ratio; None where only a bound of it is known."""
    return None if gain is None or gain.at_least else gain.estimate


def _mean_latency(study: Study, points: Points, name: str) -> tuple[Estimate | None, int]:
    """(the gain, the repeats that it rests on)."""
    sides = _sides(study, points, name, "single_stream", "e2e_ms_p50")
    return (mean_ratio(*sides, "e2e_ms_p50"), fewest_repeats(*sides, "e2e_ms_p50")) if sides else (None, 0)


def _mean_throughput(study: Study, points: Points, name: str) -> tuple[Estimate | None, int]:
    sides = _sides(study, points, name, "throughput", "output_tok_per_s")
    metric = "output_tok_per_s"
    return (mean_ratio(sides[1], sides[0], metric), fewest_repeats(*sides, metric)) if sides else (None, 0)


def _sides(
    study: Study, points: Points, name: str, profile: str, metric: str
) -> tuple[list[PointResult], list[PointResult]] | None:
    """(the baseline's points, the variant's) where the baseline's is valid; None where the variant lacks one."""
    bases, owns = [], []
    for scenario in study.scenarios:
        base = at(points.get((study.baseline, scenario), ()), profile)
        if base is None or not base.valid:
            continue
        own = at(points.get((name, scenario), ()), profile)
        if own is None or not comparable(base, own, metric):
            return None
        bases.append(base)
        owns.append(own)
    return (bases, owns) if bases else None
