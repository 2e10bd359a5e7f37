"""Where a series of nights changes its level: circular binary segmentation.

The stretch whose mean differs most from the rest's, on the logarithm, is tested by Student's t, its p multiplied by the
number of stretches that it was chosen from (Bonferroni's bound for a maximum; K. J. Worsley 1979, Journal of the
American Statistical Association 74, 365). If p is at most `alpha` its ends are changes, and the parts are searched in
the same way (A. B. Olshen et al. 2004, Biostatistics 5, 557). So a regression that was fixed after some nights is
found, which a search for one split at a time misses. A permutation test would assume less, but has no p below 1/462 for
12 nights: too much for the many series of a sweep. What is known of a change's night is the set of splits whose
likelihood ratio to the best is below 7.35 (95 %; B. E. Hansen 2000, Econometrica 68, 575). No library: this is all that
tens of nights need.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import stdtr

from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.repeats import log_ratio_interval

LEAST = 2  # nights on each side of a change
SHORTEST = 6  # nights without which nothing is searched: of 5 no change can be shown
_LIKELIHOOD_95 = 7.35


@dataclass(frozen=True)
class ChangePoint:
    """`at`: position of the first value after the change, known to be within `earliest` to `latest` (95 %).

    `ratio`: level after / before, of the stretches up to the neighbouring changes, with Welch's 95 % interval.
    """

    at: int
    earliest: int
    latest: int
    ratio: Estimate
    p: float


def change_points(values: Sequence[float], alpha: float) -> list[ChangePoint]:
    """Return the changes of a series of positive values, in its order. `alpha`: of each test."""
    logs = np.log(np.asarray(values, dtype=float))
    found = _ends(logs, 0, len(logs), alpha)
    edges = [0, *sorted(found), len(values)]
    changes = []
    for before, at, after in zip(edges, edges[1:], edges[2:], strict=False):
        ratio = log_ratio_interval(list(values[at:after]), list(values[before:at]))
        changes.append(ChangePoint(at, *_where(logs[before:after], before), ratio, found[at]))
    return changes


def _ends(logs: np.ndarray, start: int, end: int, alpha: float) -> dict[int, float]:
    """{position: p} of the changes within logs[start:end]."""
    part = logs[start:end]
    if len(part) < SHORTEST or np.ptp(part) < 1e-9:  # equal, but for the last digits
        return {}
    first, last = _stretches(len(part))
    explained = _explained(part[None], first, last)[0]
    best = int(explained.argmax())
    total, n = float(((part - part.mean()) ** 2).sum()), len(part)
    left = max(total - float(explained[best]), total * 1e-15)
    p = min(1.0, len(first) * 2 * float(stdtr(n - 2, -np.sqrt(explained[best] * (n - 2) / left))))
    if p > alpha:
        return {}
    inner = [at for at in (int(first[best]), int(last[best])) if 0 < at < len(part)]
    found = {start + at: p for at in inner}
    edges = [start, *found, end]
    for one, two in pairwise(edges):
        found |= _ends(logs, one, two, alpha)
    return found


def _stretches(n: int) -> tuple[np.ndarray, np.ndarray]:
    """(first, last + 1) of every stretch that it and the parts beside it can have: none of one night."""
    first, last = np.triu_indices(n + 1, LEAST)
    fits = ((first == 0) | (first >= LEAST)) & ((last == n) | (last <= n - LEAST)) & (last - first < n)
    fits &= ~((first > 0) & (last == n))  # the same division as of the stretch before it
    return first[fits], last[fits]


def _explained(rows: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """[series, stretches]: n1·n2/n·(m1 - m2)², of the stretch and the rest."""
    n = rows.shape[1]
    sums = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows, axis=1)], axis=1)
    inside, size = sums[:, last] - sums[:, first], last - first
    rest = (sums[:, -1:] - inside) / (n - size)
    return size * (n - size) / n * (inside / size - rest) ** 2


def _where(part: np.ndarray, start: int) -> tuple[int, int]:
    """(earliest, latest) position of the one change in a part, within 95 %."""
    splits = np.arange(LEAST, len(part) - LEAST + 1)
    explained = _explained(part[None], np.zeros(len(splits), dtype=int), splits)[0]
    total = float(((part - part.mean()) ** 2).sum())
    left = np.maximum(total - explained, total * 1e-15)
    as_good = splits[len(part) * np.log(left / left.min()) <= _LIKELIHOOD_95]
    return start + int(as_good.min()), start + int(as_good.max())
