"""The highest request rate that meets an SLO, what is known of its error, and the ratio of two of them.

The error is one of ln(rate), because rates are compared as ratios.
- From searches (load/capacity.py): a search's 90 % interval gives its standard error u. Repeats add what differs from
  start to start: with their sample variance s² over k searches, the variance of the mean is (u² + τ²)/k with
  τ² = max(0, s² - u²) (R. DerSimonian and N. Laird 1986, for equal weights).
- From the QPS ladder: each repeat of the ladder is read for itself; the k readings have variance s²/k.
- One ladder, measured once, gives no error: the requests of one run share a server, so they cannot show how it varies.
Intervals are Student's t with Welch and Satterthwaite's degrees of freedom.
"""

from dataclasses import dataclass, replace
from math import exp, inf, log

import numpy as np
from scipy.special import ndtri, stdtrit

from harness.analysis.speed.performance import PointResult, at, ladder
from harness.analysis.speed.readings import INTERPOLATED, INVALID, MEASURED, LogError, Reading, rate_within, searched
from harness.analysis.statistics.intervals import CONFIDENCE, Estimate

_UPPER = (1 + CONFIDENCE) / 2
_NORMAL_90 = float(ndtri(0.95))  # a two-sided 90 % interval reaches so many standard errors


@dataclass(frozen=True)
class Gain:
    """capacity / the baseline's capacity; `at_least`: the rate has only a lower bound, and so has the ratio."""

    estimate: Estimate
    at_least: bool = False


def capacity(points: tuple[PointResult, ...], slo: dict[str, float]) -> Reading:
    """Searched for where the sweep did that, else read off the QPS ladder."""
    found, rungs = searched_capacity(at(points, "capacity")), ladder(points)
    return with_error(rungs, slo) if found is None or (found.status == INVALID and rungs) else found


def searched_capacity(point: PointResult | None) -> Reading | None:
    """`searched`, with the error over its repeats where they give one."""
    found = searched(point)
    if point is None or found is None or found.status != MEASURED or not (error := _search_error(point)):
        return found
    times = f"{len(point.runs)} searches" if len(point.runs) > 1 else "one search"
    return replace(found, note=times, error=error)


def with_error(points: tuple[PointResult, ...], limits: dict[str, float]) -> Reading:
    """`rate_within`, with its error where the ladder was repeated."""
    found = rate_within(points, limits)
    return replace(found, error=_ladder_error(points, limits)) if found.status == INTERPOLATED else found


def _search_error(point: PointResult) -> LogError | None:
    rates, lows, highs = (point.values(f"capacity_rps{end}") for end in ("", "_low", "_high"))
    k = len(rates)
    if not k or len(lows) != k or len(highs) != k or min(lows) <= 0:
        return None
    within = float(np.mean([(log(high / low) / (2 * _NORMAL_90)) ** 2 for low, high in zip(lows, highs, strict=True)]))
    between = max(0.0, float(np.var(np.log(rates), ddof=1)) - within) if k > 1 else 0.0
    freedom = (k - 1) * ((within + between) / between) ** 2 if between else inf
    return _error((within + between) / k, freedom)


def _ladder_error(points: tuple[PointResult, ...], limits: dict[str, float]) -> LogError | None:
    repeats = sorted({run.cell.repeat for point in points for run in point.runs})
    readings = [rate_within(_of_repeat(points, repeat), limits) for repeat in repeats]
    rates = [reading.value for reading in readings if reading.value is not None and reading.status == INTERPOLATED]
    if len(readings) < 2 or len(rates) < len(readings):
        return None
    return _error(float(np.var(np.log(rates), ddof=1)) / len(rates), len(rates) - 1)


def _of_repeat(points: tuple[PointResult, ...], repeat: int) -> tuple[PointResult, ...]:
    runs = ((point, tuple(run for run in point.runs if run.cell.repeat == repeat)) for point in points)
    return tuple(replace(point, runs=found) for point, found in runs if found)


def _error(variance: float, freedom: float) -> LogError | None:
    return LogError(variance, freedom) if variance > 0 else None


def interval(value: float, *errors: LogError | None) -> Estimate:
    """A product or quotient of independent rates with the interval of their errors; without one if one has none."""
    known = [error for error in errors if error is not None]
    if not known or len(known) < len(errors):
        return Estimate(value)
    variance = sum(error.variance for error in known)
    unsure = sum(error.variance**2 / error.freedom for error in known)
    quantile = stdtrit(variance**2 / unsure, _UPPER) if unsure else ndtri(_UPPER)
    factor = exp(float(quantile) * variance**0.5)
    return Estimate(value, value / factor, value * factor)


def estimate(reading: Reading) -> Estimate | None:
    """The rate with its interval; None where only a bound is known."""
    return interval(reading.value, reading.error) if reading.value and _resolved(reading) else None


def gain(base: Reading | None, own: Reading | None) -> Gain | None:
    """own / base; None where the data do not give the ratio or a lower bound of it."""
    if base is None or own is None or not base.value or not own.value or not _resolved(base):
        return None
    ratio = own.value / base.value
    if _resolved(own):
        return Gain(interval(ratio, base.error, own.error))
    bound = interval(ratio, base.error).low
    return Gain(Estimate(ratio, bound, None), at_least=True)


def _resolved(reading: Reading) -> bool:
    return reading.status in (MEASURED, INTERPOLATED)
