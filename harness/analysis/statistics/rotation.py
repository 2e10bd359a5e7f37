"""Tests of several changes on the same starts together, by rotation.

X holds the logarithms of n starts, k of A and m of B, in rows, and a column a check. Where A and B do not differ, and
the starts are independent and normal, the direction of the difference "mean of B - mean of A" among all contrasts of
the starts is uniform on the unit sphere of n - 1 dimensions, whatever the columns' variances and correlations. So with
random unit vectors q in place of that direction,

    c = q'X,   change = c·sqrt(1/k + 1/m),   t = c·sqrt(n - 2) / sqrt(T - c²),   T = the column's total sum of squares,

have exactly the joint null distribution of all changes and their t, given X'X: the smallest p of correlated checks is
adjusted for as many as they are worth, not for their number (Ø. Langsrud 2005, Statistics and Computing 15, 53;
stepping down as P. H. Westfall and S. S. Young 1993, Resampling-Based Multiple Testing, section 2.6).

Two things take no error from what cannot use it. A change within its limit is never a finding, so under rotation too
only changes beyond it count. And a check has a share in proportion to T, which is known before the test is made (P. H.
Westfall, S. Kropf and L. Finos 2004, IMS Lecture Notes 47, 143): a change adds to it, a quiet check's share is not
needed.
"""

from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np
from scipy.special import stdtr

ROTATIONS = 10_000  # error of a p of 5 %: 0.2 %


@dataclass(frozen=True)
class Joint:
    """`logs`: [starts, checks], those of A first, upwards for the worse, so that 0 is no change; `reference`: starts
    of A; `limits`: of the change, per check, at least 0; `weights`: per check, before the total variance."""

    logs: np.ndarray
    reference: int
    limits: np.ndarray
    weights: np.ndarray

    @property
    def changes(self) -> np.ndarray:
        """[checks] Mean of B - mean of A."""
        return self.logs[self.reference :].mean(axis=0) - self.logs[: self.reference].mean(axis=0)

    @property
    def shares(self) -> np.ndarray:
        return self.weights * _totals(self.logs)

    def adjusted(self) -> np.ndarray:
        """[checks] The p of each, adjusted for all by steps; 1 for a change within its limit."""
        seen = self._weighted((self.changes / self._length)[None, :])[0]
        if not np.isfinite(seen).any():
            return np.ones(len(seen))
        null = self._weighted(_directions(len(self.logs)) @ _centred(self.logs))
        order = np.argsort(seen, kind="stable")
        least = np.minimum.accumulate(null[:, order[::-1]], axis=1)[:, ::-1]
        counts = (least <= seen[order]).sum(axis=0)
        stepped = np.maximum.accumulate((1 + counts) / (1 + ROTATIONS))
        found = np.ones(len(seen))
        found[order] = np.where(np.isfinite(seen[order]), stepped, 1.0)
        return found

    def level(self, check: int, change: float, alpha: float) -> float:
        """The unadjusted p up to which `check` is found at `alpha` where its change is `change`; at most 0.5.

        The other checks are as they are: where they change too, or are found first, it is higher.
        """
        logs = self.logs.copy()
        logs[self.reference :, check] += change - self.changes[check]
        changed = Joint(logs, self.reference, self.limits, self.weights)
        least = np.sort(changed._weighted(_directions(len(logs)) @ _centred(logs)).min(axis=1))
        return min(0.5, float(least[int(alpha * ROTATIONS)] * changed.shares[check]))

    @property
    def _length(self) -> float:
        return sqrt(1 / self.reference + 1 / (len(self.logs) - self.reference))

    def _weighted(self, contrasts: np.ndarray) -> np.ndarray:
        """[rotations, checks] One-sided p over the check's share; infinite for a change within its limit."""
        totals, freedom = _totals(self.logs), len(self.logs) - 2
        found = np.full(contrasts.shape, np.inf)
        row, column = np.nonzero(contrasts * self._length > np.maximum(self.limits, 0.0))
        c = contrasts[row, column]
        left = np.maximum(totals[column] - c**2, np.finfo(float).tiny)
        found[row, column] = stdtr(freedom, -c * np.sqrt(freedom / left)) / self.shares[column]
        return found


def _centred(logs: np.ndarray) -> np.ndarray:
    return logs - logs.mean(axis=0)


def _totals(logs: np.ndarray) -> np.ndarray:
    return (_centred(logs) ** 2).sum(axis=0)


@cache
def _directions(starts: int) -> np.ndarray:
    """[rotations, starts] Unit vectors, uniform among those whose elements have the sum 0."""
    drawn = np.random.default_rng(starts).normal(size=(ROTATIONS, starts))
    drawn -= drawn.mean(axis=1, keepdims=True)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
