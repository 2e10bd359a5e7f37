"""One suite, two variants: the same items joined, their difference and ratio with intervals, a test and a verdict."""

from dataclasses import dataclass

import numpy as np

from harness.analysis.quality.pairs import PairingError, join_items
from harness.analysis.statistics.clustered import robust_mean
from harness.analysis.statistics.intervals import (
    RESAMPLES,
    Estimate,
    difference_error,
    is_binary,
    percentile_interval,
    ratio,
    resample_means,
)
from harness.analysis.statistics.significance import items_to_show, mcnemar_exact, mean_test, minimum_detectable
from harness.records.item import Item

SHOWN, NOT_SHOWN, REFUTED = "shown", "not shown", "refuted"


@dataclass(frozen=True)
class Paired:
    """Scores (0..1) of the same items; position i is one item. `groups`: its subject, for clustered errors."""

    baseline: np.ndarray
    variant: np.ndarray
    groups: tuple[str | None, ...]


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline on one suite. `recovery` is None when the baseline scored nothing."""

    difference: Estimate  # variant - baseline, in score (0..1)
    recovery: Estimate | None  # variant / baseline
    lost: int  # items whose score fell
    gained: int
    p: float | None  # of no difference: exact McNemar for 0/1 scores, else the paired t test
    verdict: str  # non-inferior at the margin: shown | not shown | refuted
    detectable: float  # the smallest true difference that these items would show in 4 of 5 studies
    items_to_show: int | None = None  # on which an equal variant would be shown non-inferior in 4 of 5 studies
    clustered: Estimate | None = None  # the difference, items of one group (MMLU's subjects) allowed to be alike
    p_holm: float | None = None  # corrected for all comparisons of the sweep
    noise: Estimate | None = None  # the same difference between two runs of the baseline


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
    difference = percentile_interval(float(v.mean() - b.mean()), v_means - b_means)
    recovery = None
    if b.mean() > 0:
        recovery = percentile_interval(float(v.mean() / b.mean()), ratio(v_means, b_means))
    lost, gained = int((v < b).sum()), int((v > b).sum())
    binary = is_binary(b) and is_binary(v)
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
    )


def non_inferiority(recovery: Estimate | None, margin: float) -> str:
    """Shown: the whole interval lies at or above 1 - margin. Refuted: the whole interval lies below. Else not shown."""
    if recovery is None or recovery.low is None:
        return NOT_SHOWN
    if recovery.low >= 1 - margin:
        return SHOWN
    return REFUTED if recovery.high is not None and recovery.high < 1 - margin else NOT_SHOWN
