"""Quantities that were measured in several runs: the error of their mean, and ratios of two of them.

Everything is on the logarithm, because rates and latencies are compared as ratios. One value a run: the requests of one
run share a server, so they cannot show how a run differs from the next one.

Sources. Ratio of two means: B. L. Welch 1947, Biometrika 34, 28. Degrees of freedom of a sum of variances: F. E.
Satterthwaite 1946, Biometrics Bulletin 2, 110.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf

import numpy as np
from scipy.special import chdtri, ndtri, stdtrit

from harness.analysis.statistics.intervals import CONFIDENCE, Estimate

_UPPER = (1 + CONFIDENCE) / 2
_LOWER_QUARTILE = 0.75  # as an upper tail


@dataclass(frozen=True)
class LogError:
    """`variance` of the logarithm of a mean, and the degrees of freedom that it was estimated with.

    `runs` is 1 where the variance is what one run says about itself: how runs differ is then not in it.
    """

    variance: float
    freedom: float
    runs: int = 2


def log_error(values: Sequence[float], within: float = 0.0) -> LogError | None:
    """Return the error of the geometric mean of runs: s²/k with k - 1 degrees of freedom, s² the variance of ln value.

    `within`: variance that one run alone has by its own measurement, if known. Runs that agree by chance do not show
    less than that, so s² is at least the lower quartile that it has when `within` is all there is,
    within·χ²(k-1; 25 %)/(k-1). One run: `within` with a normal quantile, None without it.
    """
    k = len(values)
    if k < 2:
        return LogError(within, inf, runs=1) if k and within > 0 else None
    least = within * float(chdtri(k - 1, _LOWER_QUARTILE)) / (k - 1)
    spread = 0.0 if len(set(values)) == 1 else float(np.var(np.log(values), ddof=1))
    return LogError(max(spread, least) / k, k - 1, runs=k)


def with_errors(value: float, *errors: LogError | None) -> Estimate:
    """A product or quotient of independent quantities, with Student's t interval (Welch and Satterthwaite).

    Without an interval where one of them has no error, or where all runs are equal.
    """
    known = [error for error in errors if error is not None]
    variance = sum(error.variance for error in known)
    if len(known) < len(errors) or not variance:
        return Estimate(value)
    unsure = sum(error.variance**2 / error.freedom for error in known)
    quantile = stdtrit(variance**2 / unsure, _UPPER) if unsure else ndtri(_UPPER)
    factor = exp(float(quantile) * variance**0.5)
    return Estimate(value, value / factor, value * factor)


def log_ratio_interval(
    numerator: Sequence[float], denominator: Sequence[float], within: tuple[float, float] = (0.0, 0.0)
) -> Estimate:
    """Ratio of the geometric means of two series of runs, with Welch's t interval on the logarithms.

    `within`: of one run of each, see `log_error`; without it one run on either side gives no interval.
    """
    value = float(np.exp(np.mean(np.log(numerator)) - np.mean(np.log(denominator))))
    return with_errors(value, log_error(numerator, within[0]), log_error(denominator, within[1]))
