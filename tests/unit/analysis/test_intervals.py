import numpy as np
import pytest
from scipy import stats

from harness.analysis.statistics.intervals import (
    Estimate,
    difference_error,
    mean_score,
    percentile_interval,
    ratio,
    resample_means,
    wilson,
)
from harness.analysis.statistics.repeats import log_error, log_ratio_interval, with_errors


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (10, 10), (66, 164), (9000, 14042), (1, 1)])
def test_wilson_is_scipys(successes, n):
    theirs = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    ours = wilson(successes, n)
    assert ours.low == pytest.approx(theirs.low, abs=1e-9)
    assert ours.high == pytest.approx(theirs.high, abs=1e-9)


def test_fractional_scores_have_students_interval():
    values = np.array([0.2, 0.5, 0.5, 0.9, 0.4, 0.7])
    theirs = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    ours = mean_score(values)
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=1e-9)


def test_zero_one_scores_have_wilsons_interval():
    assert mean_score(np.array([1, 1, 0, 1])) == wilson(3, 4)


def test_equal_fractional_scores_are_not_certain():
    estimate = mean_score(np.full(30, 0.5))
    assert estimate.low < 0.4 and estimate.high > 0.6


def test_ratio_of_runs_is_welchs_interval_on_logarithms():
    a, b = [2.0, 2.1, 1.9], [1.0, 1.05, 1.02]
    theirs = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(0.95)
    ours = log_ratio_interval(a, b)
    assert (np.log(ours.low), np.log(ours.high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_one_run_gives_no_interval():
    assert log_ratio_interval([2.0], [1.0, 1.1]).bounded is False


def test_equal_runs_have_no_interval_of_their_own():
    assert log_ratio_interval([2.0, 2.0], [1.0, 1.0]) == Estimate(2.0)
    theirs = stats.ttest_ind(np.log([2.0, 2.0]), np.log([1.0, 1.1]), equal_var=False).confidence_interval(0.95)
    ours = log_ratio_interval([2.0, 2.0], [1.0, 1.1])
    assert (np.log(ours.low), np.log(ours.high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_equal_runs_are_no_closer_than_one_run_is_precise():
    """Student's t on the lower quartile of the variance that runs of standard error 2 % would show."""
    found = with_errors(10.0, log_error([10.0, 10.0], within=0.02**2))
    least = 0.02 * np.sqrt(stats.chi2.ppf(0.25, 1))
    assert np.log(found.high / found.value) == pytest.approx(stats.t.ppf(0.975, 1) * least / np.sqrt(2))
    assert log_error([10.0, 11.0], within=0.02**2) == log_error([10.0, 11.0]), "runs that differ more speak themselves"


def test_no_flip_in_thirty_items_is_not_certainty():
    right = np.array([1.0] * 15 + [0.0] * 15)
    b, v = resample_means(right, right, [0])
    estimate = percentile_interval(0.0, v - b)
    assert estimate.low < -0.03 and estimate.high > 0.03


def test_the_bootstrap_is_seeded():
    right = np.random.default_rng(1).integers(0, 2, 50).astype(float)
    assert np.array_equal(resample_means(right, 1 - right, [3, 4])[0], resample_means(right, 1 - right, [3, 4])[0])
    assert not np.array_equal(resample_means(right, 1 - right, [3, 4])[0], resample_means(right, 1 - right, [3, 5])[0])


def test_item_by_item_and_multinomial_draws_agree():
    """The same 0/1 data through both ways of drawing: jitter of 1e-9 makes every pair distinct."""
    rng = np.random.default_rng(2)
    b = rng.integers(0, 2, 400).astype(float)
    v = np.where(rng.random(400) < 0.1, 1 - b, b)
    fast = percentile_interval(0.0, np.subtract(*resample_means(v, b, [0], 4000)))
    slow = percentile_interval(0.0, np.subtract(*resample_means(v + 1e-9 * rng.random(400), b, [0], 4000)))
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.006)


@pytest.mark.parametrize("gained", [0, 3, 40])
def test_the_closed_form_error_is_the_spread_of_the_draws(gained):
    b = np.repeat([1.0, 1.0, 0.0, 0.0], [120, 9, gained, 80])
    v = np.repeat([1.0, 0.0, 1.0, 0.0], [120, 9, gained, 80])
    b_means, v_means = resample_means(b, v, [1], 100_000)
    assert difference_error(b, v) == pytest.approx(np.std(v_means - b_means), rel=0.01)


@pytest.mark.parametrize(("n", "share", "recovery"), [(164, 0.48, 0.9), (164, 0.48, 1.0), (1319, 0.6, 0.97)])
def test_coverage_of_the_recovery_interval(n, share, recovery):
    """95 % intervals hold the truth in 95 % of studies; 400 studies place that within 2.2 points at two sigma."""
    rng = np.random.default_rng(n)
    both = share * min(1.0, recovery) - 0.03
    outcomes = [both, share - both, share * recovery - both]
    hits, studies = 0, 400
    for study in range(studies):
        counts = rng.multinomial(n, [*outcomes, 1 - sum(outcomes)])
        b = np.repeat([1.0, 1.0, 0.0, 0.0], counts)
        v = np.repeat([1.0, 0.0, 1.0, 0.0], counts)
        b_means, v_means = resample_means(b, v, [study], 1000)
        estimate = percentile_interval(v.mean() / b.mean(), ratio(v_means, b_means))
        hits += estimate.low <= recovery <= estimate.high
    assert 0.92 <= hits / studies <= 0.985


def test_a_ratio_to_nothing_has_no_upper_bound():
    draws = ratio(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.0, 0.1]))
    assert percentile_interval(3.0, draws).high is None


def test_excludes():
    assert Estimate(1.1, 1.05, 1.2).excludes(1.0)
    assert not Estimate(1.1, 0.99, 1.2).excludes(1.0)
    assert not Estimate(1.1).excludes(1.0)
