"""The highest request rate that meets an SLO, what is known of its error, and the ratio of two of them.

Each repeat gives one rate: what its search found (loadgen/capacity.py), or its rate ladder read for itself. The error
is that of the logarithm over the repeats, with Student's t (statistics/repeats.py); so the ratio of two capacities,
and of their geometric means over scenarios, has Welch's interval. Repeats run on one engine start, so what differs from
start to start is not in it.

- One search has the error of its own interval, which does not contain how searches differ: "within this search".
- Repeats of a search that agree more closely than one of them is precise count as no closer than that.
- One ladder gives no error: the requests of one run share a server, so they cannot show how it varies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
from scipy.special import ndtri

from harness.analysis.speed.performance import PointResult, at, by_repeat, ladder, per_repeat
from harness.analysis.speed.readings import INTERPOLATED, INVALID, MEASURED, Reading, rate_within, searched
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.repeats import log_ratio_interval, with_errors

_NORMAL_90 = float(ndtri(0.95))  # a two-sided 90 % interval reaches so many standard errors
WITHIN_SEARCH = "interval within this search"


@dataclass(frozen=True)
class Gain:
    """capacity / the baseline's capacity; `at_least`: the rate has only a lower bound, and so has the ratio.

    `within_search`: a side has one search, so how searches differ is not in the interval.
    """

    estimate: Estimate
    at_least: bool = False
    within_search: bool = False
    repeats: int = 1  # of the side that has fewer


def capacity(points: tuple[PointResult, ...], slo: dict[str, float]) -> Reading:
    """Searched for where the sweep did that, else read off the rate ladder."""
    found, rungs = searched_capacity(at(points, "capacity")), ladder(points)
    return with_error(rungs, slo) if found is None or (found.status == INVALID and rungs) else found


def searched_capacity(point: PointResult | None) -> Reading | None:
    """`searched`, with what each repeat found."""
    found = searched(point)
    if point is None or found is None or found.status != MEASURED:
        return found
    rates = by_repeat(point, "capacity_rps")
    within = _within(point, len(rates))
    if len(rates) < 2 and not within:
        return found
    note = f"{len(rates)} searches" if len(rates) > 1 else WITHIN_SEARCH
    return replace(found, note=note, rates=tuple(rates.items()), within=within)


def with_error(points: tuple[PointResult, ...], limits: dict[str, float]) -> Reading:
    """`rate_within`, with what each repeat of the ladder gives where it was repeated and every repeat gives a rate."""
    found = rate_within(points, limits)
    return replace(found, rates=_ladder_rates(points, limits)) if found.status == INTERPOLATED else found


def _within(point: PointResult, searches: int) -> float:
    """Mean variance of ln rate by the searches' own 90 % intervals; 0 where one of them has none."""
    lows, highs = (point.values(f"capacity_rps_{end}") for end in ("low", "high"))
    if not len(lows) == len(highs) == searches or min(lows) <= 0:
        return 0.0
    return float(np.mean([(log(high / low) / (2 * _NORMAL_90)) ** 2 for low, high in zip(lows, highs, strict=True)]))


def _ladder_rates(points: tuple[PointResult, ...], limits: dict[str, float]) -> tuple[tuple[int, float], ...]:
    repeats = sorted({run.cell.repeat for point in points for run in point.runs})
    readings = {repeat: rate_within(_of_repeat(points, repeat), limits) for repeat in repeats}
    rates = [(n, r.value) for n, r in readings.items() if r.value is not None and r.status == INTERPOLATED]
    return tuple(rates) if len(rates) == len(readings) else ()


def _of_repeat(points: tuple[PointResult, ...], repeat: int) -> tuple[PointResult, ...]:
    runs = ((point, tuple(run for run in point.runs if run.cell.repeat == repeat)) for point in points)
    return tuple(replace(point, runs=found) for point, found in runs if found)


def estimate(reading: Reading) -> Estimate | None:
    """The rate with its interval; None where only a bound is known."""
    return with_errors(reading.value, reading.error) if reading.value and _resolved(reading) else None


def gain(base: Reading | None, own: Reading | None) -> Gain | None:
    """own / base; None where the data do not give the ratio, or a lower bound of it that is above 1."""
    if base is None or own is None:
        return None
    if not base.value or not own.value or not _resolved(base):
        low, high = ratio_bounds(base, own)
        return Gain(Estimate(low, low, high), at_least=True) if low is not None and low >= 1 else None
    if _resolved(own):
        return mean_gain([base], [own])
    ratio = own.value / base.value
    bound = with_errors(ratio, base.error).low
    return Gain(Estimate(ratio, bound, None), at_least=True, within_search=base.within_search)


def gain_bounds(base: Reading | None, own: Reading | None) -> tuple[float | None, float | None]:
    """(low, high) of own / base: twice the ratio where it is known, else what bounds it."""
    found = gain(base, own)
    if found:
        return found.estimate.value, None if found.at_least else found.estimate.value
    return ratio_bounds(base, own) if base and own else (None, None)


def mean_gain(bases: Sequence[Reading], own: Sequence[Reading]) -> Gain:
    """own / base of geometric means over scenarios, with equal weight. Every reading has a value.

    A repeat gives one value, its geometric mean over the scenarios, as in performance.mean_ratio.
    """
    if not all(reading.rates for reading in (*bases, *own)):
        logs = [np.mean([log(reading.value or 1.0) for reading in side]) for side in (own, bases)]
        return Gain(Estimate(float(np.exp(logs[0] - logs[1]))))
    above, below = (per_repeat([dict(reading.rates) for reading in side]) for side in (own, bases))
    within = tuple(sum(reading.within for reading in side) / len(side) ** 2 for side in (own, bases))
    ratio = log_ratio_interval(above, below, (within[0], within[1]))
    fewest = min(len(above), len(below))
    return Gain(ratio, within_search=ratio.bounded and fewest == 1, repeats=fewest)


def ratio_bounds(base: Reading, own: Reading) -> tuple[float | None, float | None]:
    """(low, high) of own / base: the lower bound of one over the upper bound of the other, and the reverse.

    From 90 % intervals of two searches each end is exceeded with a probability of at most 10 %.
    """
    low = own.low / base.high if own.low and base.high else None
    high = own.high / base.low if own.high and base.low else None
    return low, high


def _resolved(reading: Reading) -> bool:
    return reading.status in (MEASURED, INTERPOLATED)
