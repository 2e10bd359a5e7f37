"""Tests, corrections and clustered errors against scipy, statsmodels and published worked examples."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint

from harness.analysis.quality.paired import ESTABLISHED, Paired, compare
from harness.analysis.statistics.significance import (
    clopper_pearson,
    draws_test,
    holm,
    items_to_show,
    items_to_show_range,
    mcnemar_exact,
    mean_test,
    minimum_detectable,
    power_to_show,
)


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (5, 2), (8, 3), (13, 0), (7, 7), (120, 90)])
def test_mcnemar_is_scipys_binomial_test_and_statsmodels_own(lost, gained):
    theirs = stats.binomtest(lost, lost + gained, 0.5).pvalue if lost + gained else 1.0
    assert mcnemar_exact(lost, gained) == pytest.approx(theirs, abs=1e-9)
    if lost + gained:
        table = mcnemar([[50, lost], [gained, 30]], exact=True)
        assert mcnemar_exact(lost, gained) == pytest.approx(table.pvalue, abs=1e-9)


def test_fractional_scores_have_the_paired_t_test():
    rng = np.random.default_rng(0)
    b, v = rng.random(60), rng.random(60)
    assert mean_test(v - b) == pytest.approx(stats.ttest_rel(v, b).pvalue, abs=1e-9)


def test_scores_that_do_not_differ_are_no_evidence():
    assert mean_test(np.zeros(20)) == 1.0
    assert mean_test(np.full(20, 0.1)) is None, "a t of infinity is not shown as p = 0"
    assert mean_test(np.array([0.3])) is None


def test_holm_is_statsmodels_and_his_worked_order():
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": 0.9, "unknown": None}
    known = [name for name in p if p[name] is not None]
    theirs = multipletests([p[name] for name in known], method="holm")[1]
    ours = holm(p)
    assert [ours[name] for name in known] == pytest.approx(list(theirs), abs=1e-12)
    assert ours["unknown"] is None
    assert ours["d"] == pytest.approx(5 * 0.005) and ours["a"] == pytest.approx(4 * 0.01)


def test_the_detectable_effect_has_eighty_percent_power():
    """For a difference of means with known deviation 1 and n a side, SE = sqrt(2/n): statsmodels' power is 0.8."""
    n = 300
    effect = minimum_detectable(np.sqrt(2 / n))
    assert NormalIndPower().power(effect, nobs1=n, alpha=0.05, ratio=1.0) == pytest.approx(0.8, abs=1e-4)


def test_so_many_items_show_an_equal_variant_in_four_of_five_studies():
    """Worlds of equal variants: 0/1 items, 60 % right, 3 % of them lost and 3 % gained; the margin is 2 %."""
    rng = np.random.default_rng(7)

    def world(items: int) -> tuple[np.ndarray, np.ndarray]:
        base = rng.random(items) < 0.6
        flipped = rng.random(items) < np.where(base, 0.05, 0.075)  # as many lost as gained
        return base.astype(float), (base ^ flipped).astype(float)

    wanted = items_to_show(*world(200_000), margin=0.02)
    assert wanted == pytest.approx(7.849 * 0.06 / (0.02 * 0.6) ** 2, rel=0.03), "flips of 6 % and nothing else vary"
    shown = [
        compare(Paired(*world(wanted), (None,) * wanted), 0.02, [s], 2000).verdict == ESTABLISHED for s in range(400)
    ]
    assert 0.74 < np.mean(shown) < 0.86
    assert items_to_show(np.zeros(9), np.ones(9), 0.01) is None, "the baseline scores nothing"
    agreeing = np.repeat([1.0, 0.0], [100, 64])
    assert items_to_show(agreeing, agreeing, 0.01) > 164, "no flip in 164 items does not mean that there are none"
    many = np.tile(agreeing, 10)
    wanted = items_to_show(many, many, 0.01)
    assert wanted == items_to_show(agreeing, agreeing, 0.01), "the pseudo-items weigh what they will, not what they do"
    right = np.repeat([1.0, 0.0], [round(wanted * 100 / 164), wanted - round(wanted * 100 / 164)])
    assert compare(Paired(right, right, (None,) * wanted), 0.01, [0]).verdict == ESTABLISHED
    assert items_to_show(*world(100), margin=0.0) is None, "no number of items shows it"


@pytest.mark.parametrize(("hits", "n"), [(0, 40), (3, 164), (40, 1319), (9, 9)])
def test_clopper_pearson_is_statsmodels(hits, n):
    assert clopper_pearson(hits, n) == pytest.approx(proportion_confint(hits, n, method="beta"), abs=1e-12)


@pytest.mark.parametrize("flips", [0, 1, 6])
def test_the_range_of_items_holds_what_the_true_rate_needs(flips):
    """A pilot of 60 items, from a world in which as many as its bound allows disagree."""
    b = np.repeat([1.0, 0.0], [40, 20])
    v = b.copy()
    v[35 : 35 + flips] = 1 - v[35 : 35 + flips]
    low, high = items_to_show_range(b, v, 0.02)
    assert low <= items_to_show(b, v, 0.02) <= high
    rate = proportion_confint(flips, 60, method="beta")[1]
    needed = 7.849 * rate / (0.02 * 40 / 60) ** 2
    assert high == pytest.approx(needed, rel=0.1)
    if not flips:
        assert high > 2 * items_to_show(b, v, 0.02), "a pilot without a flip is too hopeful"


def test_the_power_of_the_items_needed_is_eighty_percent():
    rng = np.random.default_rng(1)
    b = (rng.random(20_000) < 0.6).astype(float)
    v = np.where(rng.random(20_000) < 0.1, 1 - b, b)
    wanted = items_to_show(b, v, 0.02)
    n = np.arange(wanted) % 20_000
    assert power_to_show(b[n], v[n], 0.02) == pytest.approx(0.8, abs=0.02)


def test_p_of_draws_is_two_tailed_and_never_zero():
    draws = np.linspace(0.9, 1.1, 1001)
    assert draws_test(draws, 0.91) == pytest.approx(0.1, abs=0.01) and draws_test(draws, 1.0) == 1.0
    assert draws_test(draws, 2.0) == pytest.approx(2 / 1002)
