"""What a difference is worth: a test, its correction for many tests, the effect that could have been seen.

Sources. McNemar, exact: the two-sided binomial test on the discordant pairs. Holm: S. Holm 1979, Scandinavian Journal
of Statistics 6, 65. Minimum detectable effect, sample size: E. Miller 2024, arXiv 2411.00640, section 5. Interval of a
share, exact: C. J. Clopper and E. S. Pearson 1934, Biometrika 26, 404.
"""

import math
from collections.abc import Mapping

import numpy as np
import scipy  # imports scipy.stats when it is first used: only fractional scores need it, and it takes 0.7 s
from scipy.special import betaincinv, ndtr, ndtri, stdtr, stdtrit

from harness.analysis.statistics.intervals import CONFIDENCE, Estimate, fair_coin_cdf, pseudo_items

ALPHA, POWER = 1 - CONFIDENCE, 0.8
_Z = ndtri(1 - ALPHA / 2)
_TO_FIND = _Z + ndtri(POWER)  # standard errors


def mcnemar_exact(lost: int, gained: int) -> float:
    """Two-sided p of `lost` against `gained` flips under a fair coin: 2·P(X <= min), X ~ Binomial(lost+gained, ½)."""
    n = lost + gained
    return min(1.0, 2 * fair_coin_cdf(min(lost, gained), n)) if n else 1.0


def mean_test(values: np.ndarray, center: float = 0.0) -> float | None:
    """Two-sided p of Student's t that the mean is `center`: for fractional scores, on the paired differences.

    None for fewer than two values; values that are all alike have p 1 at the centre, None elsewhere (t has no scale).
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return None
    if np.ptp(values) == 0:
        return 1.0 if values[0] == center else None
    return float(scipy.stats.ttest_1samp(values, center).pvalue)


def holm(
    p_values: Mapping[str | tuple, float | None], weights: Mapping[str | tuple, float] | None = None
) -> dict[str | tuple, float | None]:
    """Adjusted p by name: of m sorted p, max over i <= j of (m - i + 1)·p(i), at most 1. None takes no part.

    `weights`: of each p that is known; then of p(i)/w(i), sorted, times the sum of w(i), w(i+1), ... (Holm, section 4).
    """
    shares = weights or dict.fromkeys(p_values, 1.0)
    known = sorted((p / shares[name], str(name), name) for name, p in p_values.items() if p is not None)
    adjusted: dict[str | tuple, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for rank, (weighted, _, name) in enumerate(known):
        left = sum(shares[other] for _, _, other in known[rank:])
        highest = max(highest, left * weighted)
        adjusted[name] = min(1.0, highest)
    return adjusted


def one_sided_p(
    estimate: Estimate, limit: float, above: bool, freedom: float = math.inf, on_log: bool = False
) -> float | None:
    """Return the one-sided p that a quantity is not above (`above`) or not below `limit`, from its 95 % interval.

    At most 2.5 % exactly where the whole interval is on the wanted side. Elsewhere the end that faces the limit is
    taken as t.975 standard errors from the value: p = T(-distance / error), T Student's with `freedom` degrees (inf:
    normal), on the logarithm for ratios of positive quantities. None without that end.
    """
    end = estimate.low if above else estimate.high
    if end is None or (on_log and end <= 0):
        return None
    value, end, limit = (math.log(x) if on_log else x for x in (estimate.value, end, limit))
    distance = value - limit if above else limit - value
    error = abs(value - end) / quantile(1 - ALPHA / 2, freedom)
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(ndtr(-distance / error) if math.isinf(freedom) else stdtr(freedom, -distance / error))


def quantile(share: float, freedom: float = math.inf) -> float:
    """Return the quantile of Student's t; `freedom` inf: the normal distribution's."""
    return float(ndtri(share) if math.isinf(freedom) else stdtrit(freedom, share))


def minimum_detectable(standard_error: float) -> float:
    """The true difference that a two-sided 5 % test of this standard error finds with 80 % power: (z.975 + z.80)·SE."""
    return float(_TO_FIND * standard_error)


def draws_test(draws: np.ndarray, center: float) -> float:
    """Two-sided p that a quantity is `center`, from its bootstrap draws: twice the smaller tail, and never 0."""
    tails = ((draws <= center).sum(), (draws >= center).sum())
    return min(1.0, 2 * (int(min(tails)) + 1) / (len(draws) + 1))


def clopper_pearson(successes: int, n: int) -> tuple[float, float]:
    """Exact 95 % interval of a share of successes."""
    low = float(betaincinv(successes, n - successes + 1, ALPHA / 2)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - ALPHA / 2)) if successes < n else 1.0
    return low, high


def items_to_show(baseline: np.ndarray, variant: np.ndarray, margin: float) -> int | None:
    """Items on which a variant that is as good as the baseline is shown non-inferior at `margin` with 80 % power.

    Shown means that the mean of d = v - (1 - margin)·b lies z = z.975 standard errors above 0. Of an equal one it is
    e = margin·mean(b). So n = ((z + z.80)·s(n) / e)², where s(n) is the deviation about e that n items will have: that
    of items which disagree as often as these, and of the bootstrap's pseudo-items at their weight w in n + w. None
    where the baseline scores nothing, or the margin is 0: no number of items shows it.
    """
    if (effect := _effect(baseline, margin)) <= 0:
        return None
    return _items(float(np.mean(_squares(baseline, variant, margin, effect))), *_pseudo(baseline, variant, margin))


def items_to_show_range(baseline: np.ndarray, variant: np.ndarray, margin: float) -> tuple[int, int] | None:
    """`items_to_show` at both ends of the Clopper-Pearson interval of the share of items that disagree.

    The share is an estimate: a pilot of n items without a disagreement is consistent with 3.7 disagreements in n.
    """
    if (effect := _effect(baseline, margin)) <= 0:
        return None
    squares, apart = _squares(baseline, variant, margin, effect), np.not_equal(baseline, variant)
    known, pseudo = _pseudo(baseline, variant, margin), pseudo_items(baseline, variant)[0][1:3]
    agreeing = float(np.mean(_squares(baseline, baseline, margin, effect)[~apart])) if not apart.all() else 0.0
    if apart.any():
        disagreeing = float(np.mean(squares[apart]))
    else:
        disagreeing = float(np.mean(_squares(pseudo[:, 0], pseudo[:, 1], margin, effect)))
    low, high = (
        _items((1 - rate) * agreeing + rate * disagreeing, *known)
        for rate in clopper_pearson(int(apart.sum()), len(apart))
    )
    return low, high


def power_to_show(baseline: np.ndarray, variant: np.ndarray, margin: float) -> float | None:
    """Probability that as many items show an equal variant non-inferior, if it disagrees as often as this one.

    A variant at the margin is shown in 2.5 % of studies; where this is little more, "shown" tells the two apart badly.
    """
    if (effect := _effect(baseline, margin)) <= 0:
        return None
    _, pseudo, weight = _pseudo(baseline, variant, margin)
    squares = float(_squares(baseline, variant, margin, effect).sum()) + pseudo
    error = math.sqrt(squares / (len(variant) + weight) / len(variant))
    return float(ndtr(effect / error - _Z))


def _effect(baseline: np.ndarray, margin: float) -> float:
    return margin * float(np.mean(baseline))


def _squares(baseline: np.ndarray, variant: np.ndarray, margin: float, effect: float) -> np.ndarray:
    """Squared deviations of v - (1 - margin)·b from its mean for an equal variant."""
    return (np.asarray(variant) - (1 - margin) * np.asarray(baseline) - effect) ** 2


def _pseudo(baseline: np.ndarray, variant: np.ndarray, margin: float) -> tuple[float, float, float]:
    """(effect, weighted sum of the squares of the pseudo-items, their weight together)."""
    effect, (pairs, weight) = _effect(baseline, margin), pseudo_items(baseline, variant)
    return effect, weight * float(_squares(pairs[:, 0], pairs[:, 1], margin, effect).sum()), weight * len(pairs)


def _items(squares: float, effect: float, pseudo: float, weight: float) -> int:
    """The n of n·(n + weight) = factor·(n·squares + pseudo)."""
    factor = (_TO_FIND / effect) ** 2
    half = (factor * squares - weight) / 2
    return math.ceil(half + math.sqrt(half**2 + factor * pseudo))
