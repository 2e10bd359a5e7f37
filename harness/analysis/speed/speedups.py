"""Gains over the baseline, as one number a variant: geometric means over scenarios, each with equal weight."""

from dataclasses import dataclass

from harness.analysis.speed.capacity import Gain
from harness.analysis.speed.performance import Against, PointResult, at, geometric_mean
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study


@dataclass(frozen=True)
class Speedups:
    """More than 1 is better than the baseline; None where it cannot be compared."""

    latency: Estimate | None  # single stream, E2E p50
    throughput: Estimate | None  # output tok/s, all requests at once
    capacity: Estimate | None  # highest request rate at the SLO, over `capacity_scenarios`
    capacity_scenarios: tuple[str, ...] = ()  # the scenarios that have the ratio for every variant


def speedups(
    study: Study,
    points: dict[tuple[str, str], tuple[PointResult, ...]],
    against: dict[tuple[str, str], Against],
    gains: dict[tuple[str, str], Gain | None],
) -> dict[str, Speedups]:
    """By variant, for every variant but the baseline; `gains`: of the capacity, by (variant, scenario)."""
    shared = shared_scenarios(study, gains)
    found = {}
    for name in study.compared:
        exact = [ratio for scenario in shared if (ratio := _exact(gains.get((name, scenario))))]
        capacity = geometric_mean(exact) if len(exact) == len(shared) else None
        latency = _mean_latency(study, points, against, name)
        throughput = _mean_throughput(study, points, against, name)
        found[name] = Speedups(latency, throughput, capacity, shared if capacity else ())
    return found


def shared_scenarios(study: Study, gains: dict[tuple[str, str], Gain | None]) -> tuple[str, ...]:
    """Scenarios in which every variant that has any exact ratio of capacities has one: means over them compare."""
    able = [name for name in study.compared if any(_exact(gains.get((name, s))) for s in study.scenarios)]
    return tuple(s for s in study.scenarios if able and all(_exact(gains.get((name, s))) for name in able))


def _exact(gain: Gain | None) -> Estimate | None:
    """The ratio; None where only a bound of it is known."""
    return None if gain is None or gain.at_least else gain.estimate


def _scenarios_with(study: Study, points: dict, profile: str) -> list[str]:
    """Scenarios in which the baseline has a valid point of the profile: the ones a variant is compared on."""
    found = ((scenario, at(points.get((study.baseline, scenario), ()), profile)) for scenario in study.scenarios)
    return [scenario for scenario, point in found if point is not None and point.valid]


def _mean_latency(study: Study, points: dict, against: dict[tuple[str, str], Against], name: str) -> Estimate | None:
    parts = [against[name, scenario] for scenario in _scenarios_with(study, points, "single_stream")]
    if not parts or any("e2e_ms_p50" not in part.speedups for part in parts):
        return None
    draws = [part.draws["e2e_ms_p50"] for part in parts if "e2e_ms_p50" in part.draws]
    return geometric_mean([part.speedups["e2e_ms_p50"] for part in parts], draws)


def _mean_throughput(study: Study, points: dict, against: dict[tuple[str, str], Against], name: str) -> Estimate | None:
    scenarios = _scenarios_with(study, points, "throughput")
    parts = [ratio for scenario in scenarios if (ratio := against[name, scenario].throughput)]
    return geometric_mean(parts) if len(parts) == len(scenarios) else None
