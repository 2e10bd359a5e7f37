from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.analysis.quality.accuracy import (
    ESTABLISHED,
    INCONCLUSIVE,
    REJECTED,
    PairingError,
    average_recovery,
    compare,
    non_inferiority,
    pair_items,
)
from harness.analysis.quality.paired import Paired
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
    assert c.recovery is None and c.verdict is None and c.difference.value == pytest.approx(0.05)


def test_fractional_scores_have_the_paired_t_test_for_mcnemars():
    b, v = [0.5, 0.2, 1.0, 0.4], [0.4, 0.2, 0.9, 0.1]
    found = compare(pair_items(items(b), items(v), "acc"), 0.01, [0])
    assert found.p == pytest.approx(stats.ttest_rel(v, b).pvalue) and found.test == "paired t"
    binary = compare(pair_items(items([1.0, 0.0, 1.0]), items([1.0, 1.0, 0.0]), "acc"), 0.01, [0])
    assert binary.test == "exact McNemar"


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.3])
def test_fractional_intervals_are_as_wide_as_the_paired_t(spread):
    """Half a pseudo-item that loses a whole point made them up to 1.9 times as wide."""
    rng = np.random.default_rng(3)
    b = rng.uniform(0.35, 0.65, 60)
    v = np.clip(b + rng.normal(0, spread, 60), 0, 1)
    ours = compare(pair_items(items(b), items(v), "acc"), 0.01, [0]).difference
    theirs = stats.ttest_rel(v, b).confidence_interval(0.95)
    assert (ours.high - ours.low) / (theirs.high - theirs.low) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("n", [40, 300, 14042])
def test_no_flip_has_tangos_interval(n):
    """T. Tango 1998 at no discordant pair: ±z²/(n + z²)."""
    right = np.repeat([1.0, 0.0], [n // 2, n - n // 2])
    found = compare(pair_items(items(right), items(right), "acc"), 0.01, [0]).difference
    bound = 1.96**2 / (n + 1.96**2)
    assert (found.low, found.high) == pytest.approx((-bound, bound), rel=0.2)
    exact = stats.binomtest(0, n).proportion_ci(0.95).high
    assert found.high > 0.9 * exact, "the exact bound of either flip alone"


def test_verdicts_at_the_margin():
    assert non_inferiority(Estimate(1.0, 0.99, 1.01), 0.01) == ESTABLISHED
    assert non_inferiority(Estimate(0.99, 0.97, 1.01), 0.01) == INCONCLUSIVE
    assert non_inferiority(Estimate(0.9, 0.85, 0.95), 0.01) == REJECTED
    assert non_inferiority(None, 0.01) is None, "a baseline that scored nothing gives no verdict"


def test_clustering_that_changes_the_verdict_is_marked():
    """Losses all in one subject of four, gains spread: items are many, subjects are few."""
    groups = [f"subject {n % 4}" for n in range(4000)]
    b = np.ones(4000)
    v = np.where((np.arange(4000) % 4 == 0) & (np.arange(4000) < 100), 0.0, 1.0)
    rows = [[replace(i, group=g) for i, g in zip(items(x), groups, strict=True)] for x in (b, v)]
    found = compare(pair_items(*rows, "acc"), 0.015, [0])
    assert (found.verdict, found.clustered_verdict) == (ESTABLISHED, INCONCLUSIVE)


def test_few_items_establish_at_the_margin_as_often_as_at_equality():
    """Worlds of 200 items with 10 % lost and gained at a margin of 1 %: the power is what `compare` reaches in them."""
    rng, n, verdicts, powers = np.random.default_rng(4), 200, [], []
    for study in range(400):
        b = (rng.random(n) < 0.6).astype(float)
        v = np.where(rng.random(n) < np.where(b == 1, 1 / 6, 1 / 4), 1 - b, b)  # as many lost as gained
        found = compare(Paired(b, v, (None,) * n), 0.01, [study], 1000)
        verdicts.append(found.verdict == ESTABLISHED)
        powers.append(found.power)
        assert not verdicts[-1] or found.by_luck
    assert np.mean(verdicts) == pytest.approx(np.mean(powers), abs=0.02) and np.mean(powers) < 0.05
    enough = compare(Paired(np.ones(9000), np.r_[np.zeros(9), np.ones(8991)], (None,) * 9000), 0.01, [0])
    assert enough.verdict == ESTABLISHED and enough.power > 0.99 and not enough.by_luck


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
