"""What starts of a server say of a change: each start is one value, and starts differ.

A percentile over one start's requests says how the requests of that start differ. How much the next start of the same
server will differ, it does not hold: that takes several starts (nights, or starts of A and B in turn). On the
logarithms x of k starts of A and m of B, which share one variance,

    ln ratio = mean(x_B) - mean(x_A),   SE = s·sqrt(1/k + 1/m),   s² = (SS_A + SS_B) / (k + m - 2),

with Student's t of k + m - 2 degrees of freedom; for m = 1 that is the prediction interval of the next start (G. J.
Hahn and W. Q. Meeker 1991, Statistical Intervals, section 4.7).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, inf, log, sqrt

import numpy as np
from scipy.special import chdtri, ndtr, stdtr, stdtrit

from harness.analysis.statistics.intervals import CONFIDENCE, Estimate

Names = tuple[tuple[str, ...], tuple[str, ...]]  # of A's and of B's starts
LEAST_FREEDOM = 2  # three starts of A and one of B, or two of each
FOUND = 0.9  # share of nights in which a detectable regression is found
_LARGEST = 10.0  # ln of a ratio: where the search for a detectable one ends
_QUANTILES = (np.arange(200) + 0.5) / 200


@dataclass(frozen=True)
class StartChange:
    """The ratio B / A of the starts' geometric means. `sd`: of one start, on the logarithm: 0.01 is 1 %."""

    estimate: Estimate
    sd: float
    reference: int  # starts of A
    candidate: int  # starts of B
    logs: tuple[float, ...] = ()  # of each start, those of A first
    names: Names | None = None  # of the starts: changes of the same ones are tested together

    @property
    def freedom(self) -> int:
        return self.reference + self.candidate - 2

    @property
    def error(self) -> float:
        """Standard error of the ratio's logarithm."""
        return self.sd * sqrt(1 / self.reference + 1 / self.candidate)

    def p_beyond(self, ratio: float, above: bool) -> float:
        """One-sided p of "the ratio is at most `ratio`", or at least where not `above`."""
        t = (log(self.estimate.value) - log(ratio)) / self.error
        return float(stdtr(self.freedom, -t if above else t))

    def power(self, true_ln: float, limit_ln: float, alpha: float) -> float:
        """Chance that a change of `true_ln` is both estimated beyond `limit_ln` and shown to be above 0 at `alpha`.

        Changes count upwards. The deviation of starts is taken to be the one seen; the estimate of it in another
        night's test varies as sqrt(chi²/freedom), over which the chance is averaged.
        """
        needed = np.maximum(limit_ln, stdtrit(self.freedom, 1 - alpha) * self.error * _seen(self.freedom))
        return float(np.mean(ndtr((true_ln - needed) / self.error)))

    def detectable(self, limit_ln: float, alpha: float) -> float:
        """The smallest change, as ln of a ratio, that `power` finds in 90 % of nights; infinity for none in reach."""
        low, high = 0.0, _LARGEST
        if self.power(high, limit_ln, alpha) < FOUND:
            return inf
        while high - low > 1e-4:
            middle = (low + high) / 2
            low, high = (low, middle) if self.power(middle, limit_ln, alpha) >= FOUND else (middle, high)
        return high


@cache
def _seen(freedom: int) -> np.ndarray:
    """Quantiles of an estimated standard deviation over the true one: sqrt(chi²/freedom)."""
    return np.sqrt(chdtri(freedom, _QUANTILES) / freedom)


def start_change(
    reference: Sequence[float], candidate: Sequence[float], names: Names | None = None
) -> StartChange | None:
    """Compare starts of A and of B, each a positive value.

    None for fewer starts than give `LEAST_FREEDOM`, and for starts that do not vary: their variance is not known.
    """
    k, m = len(reference), len(candidate)
    if min(k, m) < 1 or k + m - 2 < LEAST_FREEDOM:
        return None
    a, b = np.log(reference), np.log(candidate)
    squares = float(((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum())
    sd = sqrt(squares / (k + m - 2))
    if sd < 1e-12:
        return None
    value = exp(float(b.mean() - a.mean()))
    half = float(stdtrit(k + m - 2, (1 + CONFIDENCE) / 2)) * sd * sqrt(1 / k + 1 / m)
    estimate = Estimate(value, value * exp(-half), value * exp(half))
    return StartChange(estimate, sd, k, m, (*a.tolist(), *b.tolist()), names)
