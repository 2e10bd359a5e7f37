"""The two readings of a latency-against-rate curve: the latency at a rate, and the highest rate within a limit.

A curve is made monotone first (latency cannot truly fall as load rises; pool-adjacent-violators, R. Barlow et al.
1972), then read by straight lines between measured points. Nothing is read outside of the measured rates, and a point
whose offered rate was not reached is never read: its latency grows with the length of the run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import numpy as np

from harness.analysis.speed.performance import PointResult
from harness.analysis.statistics.repeats import LogError, log_error
from harness.config.slo import Slo
from harness.records.load_result import CapacityResult

MEASURED, INTERPOLATED = "measured", "interpolated"
AT_LEAST, BELOW, NOT_REACHED, NOT_MEASURED = "at least", "below", "not reached", "not measured"
INVALID, UNRESOLVED = "invalid", "unresolved"


@dataclass(frozen=True)
class Reading:
    """`value` is None unless `status` is measured, interpolated or at least; `note` says what is known instead.

    `rates` and `within` are set by capacity.py where repeats or a search give them. `low`, `high`: of a rate, what
    bounds it whatever the status: a search's 90 % interval, or the rungs around it; None: no bound on that side.
    """

    value: float | None
    status: str
    note: str = ""
    rates: tuple[tuple[int, float], ...] = ()  # (repeat, what it alone gives)
    within: float = 0.0  # variance of ln rate that one search has by its own probes
    low: float | None = None
    high: float | None = None

    @property
    def error(self) -> LogError | None:
        """The error of the mean over the repeats."""
        return log_error([rate for _, rate in self.rates], self.within)

    @property
    def within_search(self) -> bool:
        """The only error known is that of one search."""
        return self.error is not None and self.error.runs == 1


def monotone(values: list[float]) -> np.ndarray:
    """Least-squares non-decreasing fit (pool adjacent violators), equal weights."""
    blocks: list[list[float]] = []  # [mean, size]
    for value in values:
        blocks.append([float(value), 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, size = blocks.pop()
            previous, count = blocks[-1]
            blocks[-1] = [(previous * count + mean * size) / (count + size), count + size]
    return np.concatenate([np.full(int(size), mean) for mean, size in blocks]) if blocks else np.empty(0)


def sustained(points: tuple[PointResult, ...], metrics: list[str]) -> list[tuple[float, PointResult]]:
    """(served rate, point) of the points that may be read, by that rate."""
    usable = [
        (rate, p)
        for p in points
        if p.valid and p.reached and (rate := p.served_rps) and all(p.value(m) is not None for m in metrics)
    ]
    return sorted(usable, key=lambda pair: pair[0])


def latency_at_rate(points: tuple[PointResult, ...], metric: str, rate_rps: float) -> Reading:
    """The latency at a request rate: as measured where the rate was offered and reached, else read off the curve."""
    usable = sustained(points, [metric])
    offered = next((p for p in points if p.rate_rps == rate_rps), None)
    if offered is not None and any(p is offered for _, p in usable):
        return Reading(offered.value(metric), MEASURED)
    if offered is not None and offered.valid and not offered.reached:
        return Reading(None, NOT_REACHED, f"{offered.served_rps or 0:.2f}/s of {rate_rps:g}/s")
    x = [rate for rate, _ in usable]
    if offered is not None and not offered.valid and not (x and x[0] <= rate_rps <= x[-1]):
        return Reading(None, INVALID, invalid_words([offered]))
    if not usable:
        return Reading(None, NOT_MEASURED)
    if rate_rps > x[-1]:
        return Reading(None, NOT_REACHED, f"highest reached rate {x[-1]:.2f}/s")
    if rate_rps < x[0]:
        return Reading(None, NOT_MEASURED, f"lowest measured rate {x[0]:.2f}/s")
    y = monotone([p.known(metric) for _, p in usable])
    above = int(np.searchsorted(x, rate_rps))
    over = invalid_words(_between(points, x[max(above - 1, 0)], x[above]))
    return Reading(float(np.interp(rate_rps, x, y)), INTERPOLATED, f"read over {over}" if over else "")


def rate_within(points: tuple[PointResult, ...], limits: dict[str, float]) -> Reading:
    """The highest request rate that meets `limits` ({"itl_ms_p99": 50, ...}: an SLO, see config/slo.py).

    The curve read is the largest ratio of a value to its limit; the answer is where it crosses 1. When the highest rate
    that was reached still keeps the limits, the answer is "at least" that rate.
    """
    slo = Slo.known(limits)
    if not slo:
        return Reading(None, NOT_MEASURED, "no limit is set")
    usable = sustained(points, list(slo.keys))
    if not usable:
        if any(p.valid for p in points):
            lowest = min((p.rate_rps for p in points if p.valid and p.rate_rps is not None), default=None)
            return Reading(None, BELOW, "no offered rate was reached", high=lowest)
        return Reading(None, INVALID if points else NOT_MEASURED, invalid_words(points))
    x = np.array([rate for rate, _ in usable])
    load = monotone([max(slo.ratios(p.known).values()) for _, p in usable])
    within = int(np.searchsorted(load, 1.0, side="right"))  # how many points keep the limits
    if within == 0:
        return Reading(None, BELOW, f"missed at {x[0]:.2f}/s, the lowest reached rate", high=float(x[0]))
    over = invalid_words(_between(points, x[within - 1], x[within] if within < len(x) else np.inf))
    if within == len(x):
        beyond = [p.rate_rps for p in points if p.valid and not p.reached and p.rate_rps is not None]
        note = f"{min(beyond):g}/s was offered and not reached" if beyond else over
        note = note or "the highest rate that was measured"
        return Reading(float(x[-1]), AT_LEAST, note, low=float(x[-1]), high=min(beyond, default=None))
    share = (1.0 - load[within - 1]) / (load[within] - load[within - 1])
    rate = float(x[within - 1] + share * (x[within] - x[within - 1]))
    note = f"read over {over}" if over else ""
    return Reading(rate, INTERPOLATED, note, low=float(x[within - 1]), high=float(x[within]))


def _between(points: tuple[PointResult, ...], low: float, high: float) -> list[PointResult]:
    """The invalid points offered between two rates."""
    return [p for p in points if not p.valid and p.rate_rps is not None and low < p.rate_rps < high]


def invalid_words(points: Iterable[PointResult]) -> str:
    """``4/s: invalid (client_cpu)``, of each point that is; empty for none."""
    found = []
    for point in points:
        codes = dict.fromkeys(flag.code for run in point.runs for flag in run.flags if flag.invalid)
        offered = "" if point.rate_rps is None else f"{point.rate_rps:g}/s: "
        found += [] if point.valid else [f"{offered}invalid ({', '.join(codes)})"]
    return "; ".join(found)


def searched(point: PointResult | None) -> Reading | None:
    """What a capacity search (loadgen/capacity.py) found, over its repeats; None where there was none."""
    if point is None:
        return None
    if not point.valid:
        return Reading(None, INVALID, invalid_words([point]))
    statuses = {run.result.capacity_status for run in point.runs if isinstance(run.result, CapacityResult)}
    lows, highs = point.values("capacity_rps_low"), point.values("capacity_rps_high")
    low = min(lows) if len(lows) == len(point.runs) else None
    high = max(highs) if len(highs) == len(point.runs) else None
    between = f"[{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""
    if statuses == {"resolved"}:
        note = f"searched, 90 % interval {between}"
        return Reading(point.value("capacity_rps"), MEASURED, note, low=low, high=high)
    if statuses == {"not_reached"}:
        value = point.value("capacity_rps")
        return Reading(value, AT_LEAST, "the search ended at its max_rps", low=value)
    if statuses == {"below_minimum"}:
        return Reading(None, BELOW, f"missed at {high:.2f}/s, the search's min_rps" if high else "", high=high)
    if low is not None and _beyond_max(point):
        return Reading(None, UNRESOLVED, "the search's estimate is beyond its max_rps: a bound", low=low)
    note = f"the search did not resolve it: {between or 'no valid probe'}"
    return Reading(None, UNRESOLVED if low or high else NOT_MEASURED, note, low=low, high=high)


def _beyond_max(point: PointResult) -> bool:
    """Whether a search's estimate is above its max_rps, where nothing was offered."""
    found = ((run.inputs.get("search") or {}, run.result) for run in point.runs)
    return any(
        (result.capacity_rps or 0.0) > search.get("max_rps", inf)
        for search, result in found
        if isinstance(result, CapacityResult)
    )
