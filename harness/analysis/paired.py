"""One suite, two variants: the same items joined, their difference and ratio with intervals, a test and a verdict."""

from dataclasses import dataclass

import numpy as np

from harness.analysis.intervals import (
    RESAMPLES,
    Estimate,
    difference_error,
    is_binary,
    percentile_interval,
    ratio,
    resample_means,
)
from harness.analysis.significance import clustered_mean, mcnemar_exact, mean_test, minimum_detectable
from harness.errors import HarnessError

SHOWN, NOT_SHOWN, REFUTED = "shown", "not shown", "refuted"


class PairingError(HarnessError):
    """Two variants were not asked the same questions."""


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
    clustered: Estimate | None = None  # the difference, items of one group (MMLU's subjects) allowed to be alike
    p_holm: float | None = None  # corrected for all comparisons of the sweep
    noise: Estimate | None = None  # the same difference between two runs of the baseline


def pair_rows(baseline_rows: list[dict], rows: list[dict], metric: str, where: str = "") -> Paired:
    """Joins item rows on (id, doc_hash, prompt_hash); raises PairingError unless both sides have the same keys."""
    left, right = _by_key(baseline_rows, metric, where), _by_key(rows, metric, where)
    if left.keys() != right.keys():
        odd = sorted(left.keys() ^ right.keys(), key=str)
        raise PairingError(
            f"{where}: {len(odd)} of {len(left.keys() | right.keys())} items were not asked in the same words to the "
            f"baseline and the variant (first: id {odd[0][0]!r}): their prompts or items differ; measure both again "
            "with one tokenizer, chat template and item set"
        )
    keys = sorted(left, key=str)
    return Paired(
        np.array([left[key][0] for key in keys], dtype=float),
        np.array([right[key][0] for key in keys], dtype=float),
        tuple(left[key][1] for key in keys),
    )


def _by_key(rows: list[dict], metric: str, where: str) -> dict[tuple, tuple[float, str | None]]:
    scores = {}
    for row in rows:
        key = (row["id"], row.get("doc_hash"), row.get("prompt_hash"))
        value = (row.get("scores") or {}).get(metric)
        if key in scores:
            raise PairingError(f"{where}: item {row['id']!r} is stored twice; measure the cell again")
        if value is None:
            raise PairingError(f"{where}: item {row['id']!r} has no score {metric!r}; measure the cell again")
        scores[key] = (float(value), row.get("group"))
    if not scores:
        raise PairingError(f"{where}: no items are stored; measure the cell again")
    return scores


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
        clustered=clustered_mean(v - b, paired.groups),
    )


def non_inferiority(recovery: Estimate | None, margin: float) -> str:
    """Shown: the whole interval lies at or above 1 - margin. Refuted: the whole interval lies below. Else not shown."""
    if recovery is None or recovery.low is None:
        return NOT_SHOWN
    if recovery.low >= 1 - margin:
        return SHOWN
    return REFUTED if recovery.high is not None and recovery.high < 1 - margin else NOT_SHOWN
