"""Intervals for observations that come in clusters: the pairs of one instruction, the tokens of one window of text.

What one cluster holds is not independent, so clusters, not observations, are what an interval counts.

Sources. Share: Wilson's interval at the effective sample size (E. L. Korn and B. I. Graubard 1998, Survey Methodology
24, 193; C. Franco, R. J. A. Little, T. A. Louis and E. V. Slud 2019, J. Survey Stat. Methodol. 7, 334). Bootstrap over
clusters: A. C. Davison and D. V. Hinkley 1997, section 3.8; its percentiles are widened for few clusters as in
T. C. Hesterberg 2015, The American Statistician 69, 371 (the expanded percentile interval). Robust standard error, CR1:
K.-Y. Liang and S. Zeger 1986, Biometrika 73, 13; for evaluations: E. Miller 2024, arXiv 2411.00640, section 2.2.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from harness.analysis.statistics.intervals import CONFIDENCE, RESAMPLES, Estimate, wilson_bounds

_TAIL = (1 - CONFIDENCE) / 2
_CHUNK = 8_000_000  # draws held in memory at a time
_MOST_DRAWS = 20_000_000
Numbers = Sequence[float] | np.ndarray


def cluster_numbers(clusters: Iterable[Hashable]) -> np.ndarray:
    """0, 1, 2, ... for each distinct cluster, in order of appearance."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(cluster, len(number)) for cluster in clusters], dtype=int)


def clustered_share(hits: Numbers, clusters: Iterable[Hashable]) -> Estimate:
    """Mean of values in 0..1 with Wilson's interval at n_eff observations instead of n.

    n_eff = p(1-p) / v, v = C/(C-1) · Σ_c (Σ_{i in c} (x_i - p))² / n² the variance between the C clusters. It lies
    between n and n²/Σ m_c² (every cluster is one observation, m_c its size), which it is at p = 0 or 1, where v says
    nothing. It is then shrunk by (z/t)², t with C-1 degrees of freedom, because v itself is estimated.
    Clusters of one give Wilson's interval.
    """
    x, index = np.asarray(hits, dtype=float), cluster_numbers(clusters)
    n, p, sizes = len(x), float(np.mean(x)), np.bincount(index)
    if sizes.max() == 1:
        return _wilson(p, n)
    count = len(sizes)
    fewest = n**2 / float((sizes.astype(float) ** 2).sum())
    if count < 2:
        return _wilson(p, 1.0)
    effective = fewest
    if 0 < p < 1:
        between = count / (count - 1) * float((np.bincount(index, weights=x - p) ** 2).sum()) / n**2
        effective = min(float(n), max(fewest, p * (1 - p) / between)) if between > 0 else float(n)
    shrink = float(ndtri(1 - _TAIL) / stdtrit(count - 1, 1 - _TAIL)) ** 2
    return _wilson(p, max(1.0, effective * shrink))


def _wilson(p: float, n: float) -> Estimate:
    low, high = wilson_bounds(p * n, n)
    return Estimate(p, min(low, p), max(high, p))


def cluster_sums(columns: np.ndarray, clusters: Iterable[Hashable]) -> np.ndarray:
    """[clusters, columns]: sums of an [observations, columns] array over each cluster."""
    index = cluster_numbers(clusters)
    return np.column_stack([np.bincount(index, weights=column) for column in np.asarray(columns, dtype=float).T])


def resampled_totals(sums: np.ndarray, seed: list[int], resamples: int = RESAMPLES) -> np.ndarray:
    """[resamples, columns]: totals over as many clusters, drawn with replacement. `sums`: [clusters, columns].

    Of many thousand clusters fewer resamples, never under 1000: their percentiles are steady.
    """
    rng, count = np.random.default_rng(seed), len(sums)
    resamples = min(resamples, max(1000, _MOST_DRAWS // count))
    totals = np.empty((resamples, sums.shape[1]))
    step = max(1, _CHUNK // count)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        draw = rng.integers(0, count, size=(stop - start, count))
        for column in range(sums.shape[1]):
            totals[start:stop, column] = sums[:, column][draw].sum(axis=1)
    return totals


def cluster_interval(value: float, draws: np.ndarray, clusters: int) -> Estimate:
    """`draws`: the quantity at each resample. The tails that are cut off are Φ(-t·sqrt(C/(C-1))), t with C-1 degrees
    of freedom, instead of 2.5 %: few clusters vary less in a bootstrap than in the world. Fewer than two: no interval.
    """
    if clusters < 2:
        return Estimate(value)
    tail = float(ndtr(-np.sqrt(clusters / (clusters - 1)) * stdtrit(clusters - 1, 1 - _TAIL)))
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    low, high = min(float(low), value), max(float(high), value)
    return Estimate(value, low if np.isfinite(low) else None, high if np.isfinite(high) else None)


def robust_mean(values: np.ndarray, clusters: Sequence[Hashable | None]) -> Estimate | None:
    """Mean of item values with a 95 % interval that allows items of one cluster (a subject of MMLU) to be alike.

    SE² = G/(G-1) · Σ_g (Σ_{i in g} (x_i - mean))² / n², t with G-1 degrees of freedom, for G clusters and n items.
    None unless there are two clusters, and where the items are clusters of one each (nothing is clustered).
    """
    values, n, index = np.asarray(values, dtype=float), len(values), cluster_numbers(clusters)
    count = int(index.max(initial=-1)) + 1
    if count < 2 or count == n or None in clusters:
        return None
    mean = float(values.mean())
    sums = np.bincount(index, weights=values - mean)
    error = np.sqrt(count / (count - 1) * float((sums**2).sum())) / n
    half = float(stdtrit(count - 1, 1 - _TAIL)) * error
    return Estimate(mean, mean - half, mean + half)


def resampled_mean(values: Sequence[float], clusters: Sequence[Hashable], seed: list[int]) -> Estimate:
    """Mean over all observations, resampled over clusters."""
    columns = np.column_stack([values, np.ones(len(values))])
    sums = cluster_sums(columns, clusters)
    totals = resampled_totals(sums, seed)
    return cluster_interval(float(np.mean(values)), totals[:, 0] / totals[:, 1], len(sums))


def sums_ratio(numerators: Numbers, denominators: Numbers, seed: list[int]) -> Estimate | None:
    """Σ numerators / Σ denominators over independent items, resampled in pairs; None when the denominators are 0."""
    pairs = np.column_stack([numerators, denominators]).astype(float)
    above, below = pairs.sum(axis=0)
    if below <= 0:
        return None
    totals = resampled_totals(pairs, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = totals[:, 0] / totals[:, 1]
    return cluster_interval(float(above / below), np.where(np.isnan(draws), np.inf, draws), len(pairs))
