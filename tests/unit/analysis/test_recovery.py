from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.analysis.quality.accuracy import (
    NOT_SHOWN,
    REFUTED,
    SHOWN,
    PairingError,
    average_recovery,
    compare,
    non_inferiority,
    pair_items,
)
from harness.analysis.statistics.intervals import Estimate
from harness.records.item import Item


def items(scores, prompt="p"):
    return [
        Item(id=str(i), doc_hash=f"d{i}", prompt_hash=f"{prompt}{i}", scores={"acc": s}) for i, s in enumerate(scores)
    ]


def test_rows_join_in_any_order():
    paired = pair_items(items([1, 0, 1]), list(reversed(items([0, 0, 1]))), "acc")
    assert sorted(zip(paired.baseline, paired.variant, strict=True)) == [(0, 0), (1, 0), (1, 1)]


def test_other_prompts_are_an_error_that_names_the_item():
    with pytest.raises(PairingError, match=r"mmlu, int4: 6 of 6 items .* id '0'"):
        pair_items(items([1, 0, 1]), items([1, 0, 1], prompt="q"), "acc", "mmlu, int4")


def test_a_missing_item_is_an_error():
    with pytest.raises(PairingError, match="1 of 3 items"):
        pair_items(items([1, 0, 1]), items([1, 0]), "acc")


@pytest.mark.parametrize("spoilt", [items([1, 0]) + items([1]), [replace(items([1])[0], scores={})], []])
def test_double_unscored_and_no_items_are_errors(spoilt):
    with pytest.raises(PairingError):
        pair_items(spoilt, spoilt, "acc")


def test_flips_difference_and_recovery():
    b = np.array([1.0] * 80 + [0.0] * 20)
    v = np.array([0.0] * 6 + [1.0] * 74 + [1.0] * 2 + [0.0] * 18)
    c = compare(pair_items(items(b), items(v), "acc"), 0.01, [0])
    assert (c.lost, c.gained) == (6, 2)
    assert c.difference.value == pytest.approx(-0.04)
    assert c.recovery.value == pytest.approx(0.95)
    assert c.recovery.low < 0.95 < c.recovery.high
    assert c.p == pytest.approx(0.2890625)


def test_a_baseline_without_a_right_answer_has_no_recovery():
    c = compare(pair_items(items([0.0] * 20), items([1.0] + [0.0] * 19), "acc"), 0.01, [0])
    assert c.recovery is None and c.verdict == NOT_SHOWN and c.difference.value == pytest.approx(0.05)


def test_fractional_scores_have_the_paired_t_test_for_mcnemars():
    b, v = [0.5, 0.2, 1.0, 0.4], [0.4, 0.2, 0.9, 0.1]
    assert compare(pair_items(items(b), items(v), "acc"), 0.01, [0]).p == pytest.approx(stats.ttest_rel(v, b).pvalue)


def test_verdicts_at_the_margin():
    assert non_inferiority(Estimate(1.0, 0.99, 1.01), 0.01) == SHOWN
    assert non_inferiority(Estimate(0.99, 0.97, 1.01), 0.01) == NOT_SHOWN
    assert non_inferiority(Estimate(0.9, 0.85, 0.95), 0.01) == REFUTED
    assert non_inferiority(None, 0.01) == NOT_SHOWN


def test_the_average_weighs_suites_not_items_and_is_a_ratio_of_sums():
    small = pair_items(items([1.0, 1.0]), items([1.0, 0.0]), "acc")
    large = pair_items(items([1.0] * 100 + [0.0] * 100), items([1.0] * 100 + [0.0] * 100), "acc")
    average = average_recovery({"small": small, "large": large}, 0.01, 0)
    assert average.recovery.value == pytest.approx((0.5 + 0.5) / (1.0 + 0.5))


def test_independent_suites_make_the_average_more_certain_than_each():
    rng = np.random.default_rng(0)
    pairs = {}
    for suite in ("a", "b", "c", "d"):
        b = rng.integers(0, 2, 200).astype(float)
        pairs[suite] = pair_items(items(b), items(np.where(rng.random(200) < 0.1, 1 - b, b)), "acc")
    width = lambda e: e.high - e.low  # noqa: E731
    single = [width(compare(p, 0.01, [0]).recovery) for p in pairs.values()]
    assert width(average_recovery(pairs, 0.01, 0).recovery) < min(single)
