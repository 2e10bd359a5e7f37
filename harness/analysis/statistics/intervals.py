"""Estimates with their intervals: closed forms and the paired bootstrap. Everything is two-sided at 95 %.

Sources. Wilson: E. B. Wilson 1927, JASA 22, 209. Paired bootstrap: B. Efron and R. Tibshirani 1993, chapters 8 and 13
(items are resampled, each with both of its scores). The half pseudo-item in each of the four outcomes: A. Agresti and
Y. Min 2005, Statistics in Medicine 24, 729. Where no pair of scores differs, the interval of the difference is that of
T. Tango 1998, Statistics in Medicine 17, 891, at no discordant pair: ±z²/(n + z²).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95
RESAMPLES = 10_000
_TAIL = (1 - CONFIDENCE) / 2
_Z = float(ndtri(1 - _TAIL))
PSEUDO_WEIGHT, PSEUDO_WEIGHT_NO_FLIP = 0.5, 2.0  # items; 2 is z²/2, which makes the half width z²/n
_MAX_OUTCOMES = 64  # above this many distinct (baseline, variant) pairs, items are drawn one by one
_CHUNK = 4_000_000  # draws held in memory at a time


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; `low` and `high` are None where the data give no interval."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Both ends of the interval; None where one is lacking."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def bounded(self) -> bool:
        return self.bounds is not None

    def excludes(self, value: float) -> bool:
        """True when the interval shows that the quantity is not `value`."""
        return self.bounds is not None and not self.bounds[0] <= value <= self.bounds[1]


def wilson(successes: float, n: float) -> Estimate:
    """Share of successes. (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    return Estimate(successes / n, *wilson_bounds(successes, n))


def wilson_bounds(successes: float, n: float) -> tuple[float, float]:
    """The interval alone; `n` may be an effective sample size."""
    p, z2 = successes / n, _Z**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * np.sqrt(p * (1 - p) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def mean_score(values: np.ndarray) -> Estimate:
    """Mean of scores in 0..1: Wilson when all are 0 or 1, else Student's t: m ± t(n-1)·s/sqrt(n), cut to 0..1.

    Equal fractional scores have s = 0; Wilson with their sum is then the honest, wider bound, because no
    distribution on 0..1 has a larger variance than the 0/1 one of the same mean.
    """
    values = np.asarray(values, dtype=float)
    n, mean = len(values), float(np.mean(values))
    if is_binary(values) or n < 2 or np.ptp(values) == 0:
        return Estimate(mean, *wilson_bounds(mean * n, n))
    half = float(stdtrit(n - 1, 1 - _TAIL) * np.std(values, ddof=1) / np.sqrt(n))
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half))


def is_binary(values: np.ndarray) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def pseudo_items(baseline: np.ndarray, variant: np.ndarray) -> tuple[np.ndarray, float]:
    """[4, 2] scores of four pseudo-items (neither scores, one gains, one loses, both score), and the weight of each.

    The gain and the loss are as large as differences of these items are, by root mean square: 1 for 0/1 scores. With
    1 for fractional scores as well, their intervals would be up to twice too wide.
    """
    gaps = np.subtract(variant, baseline, dtype=float)
    gaps = gaps[gaps != 0]
    half = float(np.sqrt(np.mean(gaps**2))) / 2 if len(gaps) else 0.5
    pairs = np.array([(0.0, 0.0), (0.5 - half, 0.5 + half), (0.5 + half, 0.5 - half), (1.0, 1.0)])
    return pairs, PSEUDO_WEIGHT if len(gaps) else PSEUDO_WEIGHT_NO_FLIP


def resample_means(
    baseline: np.ndarray, variant: np.ndarray, seed: list[int], resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Means of (baseline, variant) over `resamples` draws of n items, with replacement, from items + pseudo-items.

    0/1 scores have only four outcomes, so a draw of n items is one multinomial draw of their counts: the same
    distribution as drawing items one by one, a thousand times faster.
    """
    rng = np.random.default_rng(seed)
    pairs = np.column_stack([baseline, variant]).astype(float)
    n = len(pairs)
    pseudo, weight = pseudo_items(baseline, variant)
    found, counts = np.unique(pairs[:, 0] + 1j * pairs[:, 1], return_counts=True)  # sorts faster than rows do
    if len(found) <= _MAX_OUTCOMES:
        outcomes = np.column_stack([found.real, found.imag])
        outcomes, inverse = np.unique(np.vstack([outcomes, pseudo]), axis=0, return_inverse=True)
        weights = np.bincount(inverse.ravel(), weights=np.concatenate([counts, np.full(4, weight)]))
        means = rng.multinomial(n, weights / weights.sum(), size=resamples) @ outcomes / n
        return means[:, 0], means[:, 1]
    urn = np.vstack([np.repeat(pairs, 2, axis=0), np.repeat(pseudo, round(2 * weight), axis=0)])  # weights in halves
    means = np.empty((resamples, 2))
    step = max(1, _CHUNK // n)
    for start in range(0, resamples, step):
        draw = rng.integers(0, len(urn), size=(min(step, resamples - start), n))
        means[start : start + len(draw), 0] = urn[:, 0][draw].mean(axis=1)
        means[start : start + len(draw), 1] = urn[:, 1][draw].mean(axis=1)
    return means[:, 0], means[:, 1]


def difference_error(baseline: np.ndarray, variant: np.ndarray) -> float:
    """Standard error of mean(variant) - mean(baseline): the standard deviation of `resample_means`' draws, exactly."""
    pseudo, weight = pseudo_items(baseline, variant)
    gaps = np.concatenate([np.subtract(variant, baseline, dtype=float), pseudo[:, 1] - pseudo[:, 0]])
    weights = np.concatenate([np.ones(len(variant)), np.full(len(pseudo), weight)])
    mean = np.average(gaps, weights=weights)
    return float(np.sqrt(np.average((gaps - mean) ** 2, weights=weights) / len(variant)))


def percentile_interval(value: float, draws: np.ndarray) -> Estimate:
    """2.5 and 97.5 percentiles of bootstrap draws; a bound that is not finite becomes None. Contains the value."""
    low, high = np.quantile(draws, [_TAIL, 1 - _TAIL], method="inverted_cdf")
    low, high = min(float(low), value), max(float(high), value)
    return Estimate(value, low if np.isfinite(low) else None, high if np.isfinite(high) else None)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator; x/0 is infinite, 0/0 is 1 (neither scored)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.asarray(numerator, dtype=float) / np.asarray(denominator, dtype=float)
    return np.where(np.isnan(quotient), 1.0, quotient)


def fair_coin_cdf(most: int, n: int) -> float:
    """P(X <= most), X ~ Binomial(n, ½), from exact integers."""
    ways, found = 1, 0
    for heads in range(most + 1):
        found += ways
        ways = ways * (n - heads) // (heads + 1)
    return found / 2**n


def median_interval(values: list[float]) -> Estimate:
    """Median, with the interval of order statistics that a sign test inverts: no distribution is assumed.

    x(j) to x(n+1-j) for the largest j with 2 P(Binomial(n, 1/2) < j) <= 5 %: smallest to largest from 6 values on,
    second to second-last from 9. Fewer than 6 give no interval. H. A. David and H. N. Nagaraja 2003, section 7.1.
    """
    ordered, n = np.sort(np.asarray(values, dtype=float)), len(values)
    rank = 0
    while fair_coin_cdf(rank, n) <= _TAIL:
        rank += 1
    value = float(np.median(ordered))
    return Estimate(value, float(ordered[rank - 1]), float(ordered[n - rank])) if rank else Estimate(value)
