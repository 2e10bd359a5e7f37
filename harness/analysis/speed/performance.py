"""Serving performance: load points over their repeats, and ratios to the baseline.

Ratios are written so that more than 1 is better than the baseline: latency as baseline / variant, rates as
variant / baseline. Every variant gets the same traffic, so a ratio compares like with like.
"""

from dataclasses import dataclass

import numpy as np

from harness.analysis.statistics.intervals import Estimate, log_ratio_interval, percentile_interval
from harness.analysis.statistics.seeds import seed_of
from harness.analysis.study import Measured, Study
from harness.records.point import LoadPoint

REACHED = 0.95  # an offered rate counts as reached from this share on
RESAMPLES = 2_000
MIN_REQUESTS = 5  # fewer give no interval
REQUEST_TIMES = ("ttft_ms_p50", "tpot_ms_p50", "e2e_ms_p50")  # medians over requests: these can be resampled


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

    def values(self, metric: str) -> list[float]:
        return [float(run.metrics[metric]) for run in self.runs if metric in run.metrics]

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

    @property
    def served_rps(self) -> float | None:
        """Mean over the runs of `served_rps` (load/metrics.py): the rate axis of the figures and of the readings."""
        rates = self.values("served_rps") or self.values("achieved_rps")
        return sum(rates) / len(rates) if rates else None

    @property
    def reached(self) -> bool:
        """The server kept up: it served 95 % or more of the rate that was offered."""
        served = self.served_rps
        return self.rate_rps is None or (served is not None and served >= REACHED * self.rate_rps)


Points = dict[tuple[str, str], tuple[PointResult, ...]]  # (variant, scenario) -> its load points


def load_points(study: Study) -> Points:
    """By (variant, scenario): single stream, throughput, then the QPS ladder upwards, then the rest."""
    found = {}
    for name in study.variants:
        for scenario in study.scenarios:
            groups: dict[LoadPoint, list[Measured]] = {}
            for measured in study.find("load", name, scenario):
                if point := measured.cell.point:
                    groups.setdefault(point.once, []).append(measured)
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


def speedup(
    base: PointResult | None, own: PointResult | None, metric: str, draws: np.ndarray | None = None
) -> Estimate | None:
    """baseline / variant of a latency. The interval is of `draws` (see `median_ratio_draws`), else of the repeats."""
    if base is None or own is None or not _comparable(base, own, metric):
        return None
    if draws is not None:
        return percentile_interval(base.known(metric) / own.known(metric), draws)
    return log_ratio_interval(base.values(metric), own.values(metric))


def gain(base: PointResult | None, own: PointResult | None, metric: str) -> Estimate | None:
    """variant / baseline of a rate, with an interval where both sides were repeated.

    Requests of one run share one server, so resampling them would not show how the run's rate varies.
    """
    if base is None or own is None or not _comparable(base, own, metric):
        return None
    return log_ratio_interval(own.values(metric), base.values(metric))


def _comparable(base: PointResult, own: PointResult, metric: str) -> bool:
    return base.valid and own.valid and bool(base.value(metric)) and bool(own.value(metric))


def request_times(run: Measured) -> dict[str, np.ndarray]:
    """Per request in ms, of the requests that ended well: the formulas of load/metrics.py, from intended send on."""
    times: dict[str, list[float]] = {"ttft_ms": [], "tpot_ms": [], "e2e_ms": []}
    for request in filter(lambda one: one.answered, run.requests()):
        times["ttft_ms"].append(1e3 * request.ttft_s)
        times["e2e_ms"].append(1e3 * request.e2e_s)
        times["tpot_ms"].append(1e3 * request.tpot_s if request.generated > 1 else np.nan)
    return {name: np.array(values) for name, values in times.items()}


def pooled_times(point: PointResult | None) -> dict[str, np.ndarray]:
    """`request_times` of all repeats of a point together, without the requests that have no such time."""
    runs = [request_times(run) for run in point.runs] if point else []
    pooled = {name: np.concatenate([run[name] for run in runs]) for name in (runs[0] if runs else ())}
    return {name: values[np.isfinite(values)] for name, values in pooled.items()}


def median_ratio_draws(base: np.ndarray, own: np.ndarray, seed: list[int]) -> np.ndarray | None:
    """Bootstrap draws of median(base) / median(own) over requests; None from fewer than MIN_REQUESTS on a side.

    For `single_stream` only: there one request does not wait for another. The two sides are drawn apart although they
    had the same prompts, which makes the interval a little wide rather than too narrow.
    """
    if min(len(base), len(own)) < MIN_REQUESTS:
        return None
    rng = np.random.default_rng(seed)
    top, below = (np.median(x[rng.integers(0, len(x), size=(RESAMPLES, len(x)))], axis=1) for x in (base, own))
    return top / below


@dataclass(frozen=True)
class Against:
    """A variant against the baseline in one scenario; a missing or invalid side leaves None."""

    speedups: dict[str, Estimate]  # single stream: metric of REQUEST_TIMES -> baseline / variant
    throughput: Estimate | None  # output tok/s, all at once: variant / baseline
    draws: dict[str, np.ndarray]  # bootstrap draws behind `speedups`


def against_baseline(study: Study, points: Points) -> dict[tuple[str, str], Against]:
    """By (variant, scenario) for every variant but the baseline."""
    found = {}
    for scenario in study.scenarios:
        base = points.get((study.baseline, scenario), ())
        base_times = pooled_times(at(base, "single_stream"))
        for name in study.compared:
            own = points[name, scenario]
            b, v = at(base, "single_stream"), at(own, "single_stream")
            times = pooled_times(v)
            speedups: dict[str, Estimate] = {}
            draws: dict[str, np.ndarray] = {}
            for metric in REQUEST_TIMES if b and v else ():
                key, seed = metric.removesuffix("_p50"), seed_of(study.seed, scenario, name, metric)
                drawn = median_ratio_draws(base_times[key], times[key], seed)
                if faster := speedup(b, v, metric, drawn):
                    speedups[metric] = faster
                    if drawn is not None:
                        draws[metric] = drawn
            throughput = gain(at(base, "throughput"), at(own, "throughput"), "output_tok_per_s")
            found[name, scenario] = Against(speedups, throughput, draws)
    return found


def geometric_mean(estimates: list[Estimate], draws: list[np.ndarray] | None = None) -> Estimate | None:
    """Over scenarios, each with equal weight: exp(mean(log x)).

    With draws, their percentiles. Else the parts' intervals are added in quadrature on the log scale (independent
    scenarios); one part without an interval leaves the mean without one.
    """
    if not estimates:
        return None
    value = float(np.exp(np.mean([np.log(e.value) for e in estimates])))
    if draws and len(draws) == len(estimates):
        return percentile_interval(value, np.exp(np.mean([np.log(d) for d in draws], axis=0)))
    bounds = [e.bounds for e in estimates if e.bounds and e.bounds[0] > 0]
    if len(bounds) < len(estimates):
        return Estimate(value)
    below, above = (
        float(np.sqrt(sum(np.log(ends[side] / e.value) ** 2 for e, ends in zip(estimates, bounds, strict=True))))
        / len(estimates)
        for side in (0, 1)
    )
    return Estimate(value, value * float(np.exp(-below)), value * float(np.exp(above)))
