"""Serving performance: load points over their repeats, and ratios to the baseline.

Ratios are written so that more than 1 is better than the baseline: latency as baseline / variant, rates as
variant / baseline. Every variant gets the same traffic, so a ratio compares like with like.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.analysis.speed.objectives import objectives, with_slo_values
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.repeats import log_ratio_interval
from harness.analysis.study import Measured, Study
from harness.config.slo import Slo
from harness.records.point import LoadPoint

REACHED = 0.95  # an offered rate counts as reached from this share on
REQUEST_TIMES = ("ttft_ms_p50", "tpot_ms_p50", "e2e_ms_p50")  # medians over requests


@dataclass(frozen=True)
class PointResult:
    """A load point of a variant: the valid repeats' mean; every repeat if none is valid (`valid` False)."""

    variant: str
    scenario: str
    point: LoadPoint  # without its repeat
    valid: bool
    runs: tuple[Measured, ...]

    @property
    def profile(self) -> str:
        return self.point.profile

    @property
    def rate_rps(self) -> float | None:
        return self.point.rate_rps

    @cached_property
    def _metrics(self) -> tuple[Mapping[str, float], ...]:
        """Return the values of each run; tables and curves ask for the same ones thousands of times."""
        return tuple(run.metrics for run in self.runs)

    def values(self, metric: str) -> list[float]:
        return [float(metrics[metric]) for metrics in self._metrics if metric in metrics]

    def value(self, metric: str) -> float | None:
        values = self.values(metric)
        return sum(values) / len(values) if values else None

    def spread(self, metric: str) -> tuple[float, float] | None:
        """Smallest and largest repeat; None from one run, which has no spread."""
        values = self.values(metric)
        return (min(values), max(values)) if len(values) > 1 else None

    def known(self, metric: str) -> float:
        """The value of a metric that every caller has seen to be there."""
        if (value := self.value(metric)) is None:
            raise KeyError(f"{self.variant}, {self.scenario}, {self.point.label}: no {metric}")
        return value

    @cached_property
    def served_rps(self) -> float | None:
        """Mean over the runs of `served_rps` (loadgen/metrics.py): the rate axis of the figures and of the readings."""
        rates = self.values("served_rps") or self.values("achieved_rps")
        return sum(rates) / len(rates) if rates else None

    @cached_property
    def reached(self) -> bool:
        """The server kept up: it served 95 % or more of the rate that was offered."""
        served = self.served_rps
        return self.rate_rps is None or (served is not None and served >= REACHED * self.rate_rps)


Points = dict[tuple[str, str], tuple[PointResult, ...]]  # (variant, scenario) -> its load points


def load_points(study: Study) -> Points:
    """By (variant, scenario): single stream, throughput, then the rate ladder upwards, then the rest."""
    found = {}
    for name in study.variants:
        for scenario, facts in study.scenarios.items():
            wanted = [Slo.known(limits) for limits in objectives(facts).values()]
            groups: dict[LoadPoint, list[Measured]] = {}
            for measured in study.find("load", name, scenario):
                if point := measured.cell.point:
                    known = measured if point.profile == "capacity" else with_slo_values(measured, wanted)
                    groups.setdefault(point.once, []).append(known)
            points = [_result(name, scenario, point, runs) for point, runs in groups.items()]
            found[name, scenario] = tuple(sorted(points, key=_order))
    return found


def _result(variant: str, scenario: str, point: LoadPoint, runs: list[Measured]) -> PointResult:
    valid = [run for run in runs if run.valid]
    return PointResult(variant, scenario, point, bool(valid), tuple(valid or runs))


def _order(result: PointResult) -> tuple[int, str, float, int]:
    profiles, point = ("single_stream", "throughput", "server"), result.point
    known = profiles.index(point.profile) if point.profile in profiles else len(profiles)
    return known, point.profile, point.rate_rps or 0.0, point.concurrency or 0


def at(points: tuple[PointResult, ...], profile: str) -> PointResult | None:
    return next((point for point in points if point.profile == profile), None)


def ladder(points: tuple[PointResult, ...]) -> tuple[PointResult, ...]:
    """The open-loop points, by offered rate."""
    return tuple(point for point in points if point.profile == "server")


def speedup(base: PointResult | None, own: PointResult | None, metric: str) -> Estimate | None:
    """baseline / variant of a latency, with Welch's interval over the repeats (`mean_ratio`)."""
    if base is None or own is None or not comparable(base, own, metric):
        return None
    return mean_ratio([base], [own], metric)


def gain(base: PointResult | None, own: PointResult | None, metric: str) -> Estimate | None:
    """variant / baseline of a rate, with Welch's interval over the repeats (`mean_ratio`)."""
    if base is None or own is None or not comparable(base, own, metric):
        return None
    return mean_ratio([own], [base], metric)


def comparable(base: PointResult, own: PointResult, metric: str) -> bool:
    return base.valid and own.valid and bool(base.value(metric)) and bool(own.value(metric))


def mean_ratio(numerators: Sequence[PointResult], denominators: Sequence[PointResult], metric: str) -> Estimate | None:
    """Ratio of geometric means over scenarios, each with equal weight; None without a value.

    A repeat gives one value, its geometric mean over the scenarios; the interval is Welch's on the logarithms of these.
    Runs differ by more than the requests of one run show, so one repeat gives no interval.
    """
    above, below = (per_repeat([by_repeat(point, metric) for point in side]) for side in (numerators, denominators))
    return log_ratio_interval(above, below) if above and below else None


def fewest_repeats(one: Sequence[PointResult], other: Sequence[PointResult], metric: str) -> int:
    """Return how many values `mean_ratio` has of the side that has fewer."""
    return min(len(per_repeat([by_repeat(point, metric) for point in side])) for side in (one, other))


def by_repeat(point: PointResult, metric: str) -> dict[int, float]:
    """The metric of each repeat that has it."""
    return {run.cell.repeat: float(run.metrics[metric]) for run in point.runs if metric in run.metrics}


def per_repeat(scenarios: Sequence[Mapping[int, float]]) -> list[float]:
    """Geometric mean over scenarios of each repeat that all of them have; of all values together where none is shared.

    `scenarios`: the value of each repeat, by scenario. Empty where one has no value, or one of 0: it has no logarithm.
    """
    if not scenarios or not all(values and min(values.values()) > 0 for values in scenarios):
        return []
    shared = sorted(set.intersection(*map(set, scenarios)))
    if not shared:
        return [float(np.exp(np.mean([np.mean(np.log(list(values.values()))) for values in scenarios])))]
    return [float(np.exp(np.mean([np.log(values[repeat]) for values in scenarios]))) for repeat in shared]


@dataclass(frozen=True)
class Against:
    """A variant against the baseline in one scenario; a missing or invalid side leaves None."""

    speedups: dict[str, Estimate]  # single stream: metric of REQUEST_TIMES -> baseline / variant
    throughput: Estimate | None  # output tok/s, all at once: variant / baseline


def against_baseline(study: Study, points: Points) -> dict[tuple[str, str], Against]:
    """By (variant, scenario) for every variant but the baseline."""
    found = {}
    for scenario in study.scenarios:
        base = points.get((study.baseline, scenario), ())
        for name in study.compared:
            own = points[name, scenario]
            b, v = at(base, "single_stream"), at(own, "single_stream")
            speedups = {metric: faster for metric in REQUEST_TIMES if (faster := speedup(b, v, metric))}
            throughput = gain(at(base, "throughput"), at(own, "throughput"), "output_tok_per_s")
            found[name, scenario] = Against(speedups, throughput)
    return found
