"""What a difference is worth: a test, its correction for many tests, the effect that could have been seen.

Sources. McNemar, exact: the two-sided binomial test on the discordant pairs. Holm: S. Holm 1979, Scandinavian Journal
of Statistics 6, 65. Minimum detectable effect, sample size: E. Miller 2024, arXiv 2411.00640, section 5.
"""

import math

import numpy as np
import scipy  # imports scipy.stats when it is first used: only fractional scores need it, and it takes 0.7 s
from scipy.special import ndtri

from harness.analysis.statistics.intervals import CONFIDENCE, PSEUDO, fair_coin_cdf

ALPHA, POWER = 1 - CONFIDENCE, 0.8
_TO_FIND = ndtri(1 - ALPHA / 2) + ndtri(POWER)  # standard errors


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


def holm(p_values: dict[str | tuple, float | None]) -> dict[str | tuple, float | None]:
    """Adjusted p by name: of m sorted p, max over i <= j of (m - i + 1)·p(i), at most 1. None takes no part."""
    known = sorted((p, str(name), name) for name, p in p_values.items() if p is not None)
    adjusted: dict[str | tuple, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for rank, (p, _, name) in enumerate(known):
        highest = max(highest, (len(known) - rank) * p)
        adjusted[name] = min(1.0, highest)
    return adjusted


def minimum_detectable(standard_error: float) -> float:
    """The true difference that a two-sided 5 % test of this standard error finds with 80 % power: (z.975 + z.80)·SE."""
    return float(_TO_FIND * standard_error)


def items_to_show(baseline: np.ndarray, variant: np.ndarray, margin: float) -> int | None:
    """Items on which a variant that is as good as the baseline is shown non-inferior at `margin` with 80 % power.

    Shown means that the mean of d = v - (1 - margin)·b lies z = z.975 standard errors above 0. Of an equal one it is
    e = margin·mean(b). So n = ((z + z.80)·s(n) / e)², where s(n) is the deviation about e that n items will have: that
    of items which disagree as often as these, and of the bootstrap's pseudo-items at their weight of 2 in n + 2. None
    where the baseline scores nothing, or the margin is 0: no number of items shows it.
    """
    effect = margin * float(np.mean(baseline))
    if effect <= 0:
        return None
    squares, pseudo = (
        (v - (1 - margin) * b - effect) ** 2 for b, v in ((baseline, variant), (PSEUDO[:, 0], PSEUDO[:, 1]))
    )
    factor = (_TO_FIND / effect) ** 2
    # n·(n + 2) = factor·(n·mean(squares) + sum(pseudo) / 2)
    half = (factor * float(np.mean(squares)) - 2) / 2
    return math.ceil(half + math.sqrt(half**2 + factor * float(np.sum(pseudo)) / 2))
