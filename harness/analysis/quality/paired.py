"""One suite, two variants: the same items joined, their difference and ratio with intervals, a test and a verdict."""

from dataclasses import dataclass

import numpy as np

from harness.analysis.quality.pairs import PairingError, join_items
from harness.analysis.statistics.clustered import cluster_interval, robust_mean
from harness.analysis.statistics.intervals import (
    RESAMPLES,
    Estimate,
    difference_error,
    is_binary,
    percentile_interval,
    ratio,
    resample_means,
)
from harness.analysis.statistics.significance import (
    ALPHA,
    items_to_show,
    items_to_show_range,
    mcnemar_exact,
    mean_test,
    minimum_detectable,
    power_to_show,
)
from harness.records.item import Item

ESTABLISHED, INCONCLUSIVE, REJECTED = "established", "inconclusive", "rejected"


@dataclass(frozen=True)
class Paired:
    """Scores (0..1) of the same items; position i is one item. `groups`: its subject, for clustered errors."""

    baseline: np.ndarray
    variant: np.ndarray
    groups: tuple[str | None, ...]


MCNEMAR, PAIRED_T = "exact McNemar", "paired t"
TELLS_APART = 2.0  # times as likely for an equal variant as for one at the margin


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline on one suite; where the baseline scored nothing, without recovery and verdict."""

    difference: Estimate  # variant - baseline, in score (0..1)
    recovery: Estimate | None  # variant / baseline
    lost: int  # items whose score fell
    gained: int
    p: float | None  # of no difference, by `test`
    verdict: str | None  # non-inferior at the margin: established | inconclusive | rejected
    detectable: float  # the smallest true difference that an uncorrected test of these items finds in 4 of 5 studies
    items_to_show: int | None = None  # on which an equal variant would be shown non-inferior in 4 of 5 studies
    clustered: Estimate | None = None  # the difference, items of one group (MMLU's subjects) allowed to be alike
    p_holm: float | None = None  # corrected for all comparisons of the sweep
    noise: Estimate | None = None  # the same difference between two runs of the baseline
    test: str = MCNEMAR  # of p: exact McNemar for 0/1 scores, else the paired t test
    items_range: tuple[int, int] | None = None  # `items_to_show` at both ends of the share of items that disagree
    power: float | None = None  # of these items to show an equal variant non-inferior
    clustered_verdict: str | None = None  # where items of one group may be alike
    noise_flips: tuple[int, int] | None = None  # items lost and gained from the baseline's first run to its second

    @property
    def by_luck(self) -> bool:
        """Established, but hardly more likely so for an equal variant than for one at the margin (2.5 %)."""
        return self.verdict == ESTABLISHED and self.power is not None and self.power < TELLS_APART * ALPHA / 2


def pair_items(baseline: list[Item], own: list[Item], metric: str, where: str = "") -> Paired:
    """Raises PairingError unless both sides have the same items (`join_items`), each with a score `metric`."""
    pairs = join_items(baseline, own, where)
    scores = np.array([[_score(item, metric, where) for item in pair] for pair in pairs], dtype=float)
    return Paired(scores[:, 0], scores[:, 1], tuple(item.group for _, item in pairs))


def _score(item: Item, metric: str, where: str) -> float:
    value = item.scores.get(metric)
    if value is None:
        raise PairingError(f"{where}: item {item.id!r} has no score {metric!r}; measure the cell again")
    return float(value)


def compare(paired: Paired, margin: float, seed: list[int], resamples: int = RESAMPLES) -> Comparison:
    """difference = mean(variant) - mean(baseline), recovery = mean(variant) / mean(baseline), from the same draws."""
    b, v = paired.baseline, paired.variant
    b_means, v_means = resample_means(b, v, seed, resamples)
    binary = is_binary(b) and is_binary(v)
    difference = paired_interval(float(v.mean() - b.mean()), v_means - b_means, paired)
    recovery = None
    if b.mean() > 0:
        recovery = paired_interval(float(v.mean() / b.mean()), ratio(v_means, b_means), paired)
    lost, gained = int((v < b).sum()), int((v > b).sum())
    kept = robust_mean(v - (1 - margin) * b, paired.groups) if recovery else None
    return Comparison(
        difference=difference,
        recovery=recovery,
        lost=lost,
        gained=gained,
        p=mcnemar_exact(lost, gained) if binary else mean_test(v - b),
        verdict=non_inferiority(recovery, margin),
        detectable=minimum_detectable(difference_error(b, v)),
        items_to_show=items_to_show(b, v, margin),
        clustered=robust_mean(v - b, paired.groups),
        test=MCNEMAR if binary else PAIRED_T,
        items_range=items_to_show_range(b, v, margin),
        power=power_to_show(b, v, margin),
        clustered_verdict=non_inferiority(kept, 1.0) if kept else None,
    )


def paired_interval(value: float, draws: np.ndarray, *pairs: Paired) -> Estimate:
    """Percentiles; of fractional scores widened for few items, as the pseudo-items do it for 0/1 scores."""
    if all(is_binary(paired.baseline) and is_binary(paired.variant) for paired in pairs):
        return percentile_interval(value, draws)
    return cluster_interval(value, draws, min(len(paired.variant) for paired in pairs))


def non_inferiority(recovery: Estimate | None, margin: float) -> str | None:
    """Established: the whole interval is at or above 1 - margin. Rejected: the whole interval is below.

    None without a recovery: the baseline scored nothing, so there is nothing to keep.
    """
    if recovery is None:
        return None
    if recovery.low is not None and recovery.low >= 1 - margin:
        return ESTABLISHED
    return REJECTED if recovery.high is not None and recovery.high < 1 - margin else INCONCLUSIVE
