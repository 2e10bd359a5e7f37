import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from harness.analysis.statistics.clustered import (
    cluster_interval,
    clustered_share,
    resampled_mean,
    resampled_totals,
    robust_mean,
    sums_ratio,
)
from harness.analysis.statistics.intervals import wilson


def test_clusters_of_one_give_wilsons_interval():
    for right in (0, 7, 20):
        hits = [1.0] * right + [0.0] * (20 - right)
        found, plain = clustered_share(hits, range(20)), wilson(right, 20)
        assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-9)


def test_all_right_counts_clusters_not_pairs():
    found = clustered_share([1.0] * 90, [i // 3 for i in range(90)])
    narrow, wide = wilson(90, 90), wilson(30, 30)
    assert found.value == found.high == 1.0 and found.low < wide.low < narrow.low
    assert found.low > wilson(25, 25).low, "only a little wider than 30 independent observations"


def test_pairs_that_always_agree_are_worth_one_and_pairs_that_never_do_are_worth_themselves():
    same = [float(i // 2 % 2) for i in range(80)]
    other = [float(i % 2) for i in range(80)]
    clusters = [i // 2 for i in range(80)]
    wide, narrow = clustered_share(same, clusters), clustered_share(other, clusters)
    assert wide.high - wide.low == pytest.approx(np.sqrt(2) * (narrow.high - narrow.low), rel=0.05)


def test_one_cluster_is_one_observation():
    found = clustered_share([1.0, 1.0, 1.0], ["a", "a", "a"])
    assert found.low == pytest.approx(wilson(1, 1).low)


@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_clustered_share_covers_the_truth(p):
    """30 clusters of four whose members share a beta-distributed rate: intra-class correlation 0.5."""
    rng = np.random.default_rng(int(100 * p))
    clusters = np.repeat(np.arange(30), 4)
    inside = plain = 0
    for _ in range(600):
        hits = (rng.random(120) < rng.beta(p, 1 - p, size=30)[clusters]).astype(float)
        found, naive = clustered_share(hits, clusters), wilson(int(hits.sum()), 120)
        inside += found.low <= p <= found.high
        plain += naive.low <= p <= naive.high
    assert 0.92 <= inside / 600 <= 0.985
    assert plain / 600 < 0.85, "pairs counted as if independent would be believed far too much"


@pytest.mark.parametrize("clusters", [8, 40])
def test_cluster_bootstrap_covers_the_mean(clusters):
    """Skewed values (like divergences) that share a cluster's level."""
    rng = np.random.default_rng(clusters)
    inside = 0
    for run in range(300):
        level = rng.gamma(4, 0.25, size=clusters)
        values = (level[:, None] * rng.gamma(2, 0.5, size=(clusters, 20))).ravel()
        found = resampled_mean(values, np.repeat(np.arange(clusters), 20), [run])
        inside += found.low <= 1.0 <= found.high
    assert inside / 300 >= 0.91


def test_the_bootstrap_of_a_mean_is_students_interval():
    values = np.random.default_rng(1).normal(10, 2, size=25)
    found = resampled_mean(values, range(25), [0])
    low, high = stats.t.interval(0.95, 24, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.15)


def test_the_same_seed_draws_the_same_clusters_and_one_cluster_has_no_interval():
    sums = np.arange(12.0).reshape(6, 2)
    assert np.array_equal(resampled_totals(sums, [3], 50), resampled_totals(sums, [3], 50))
    assert not cluster_interval(1.0, np.ones(10), 1).bounded


def test_ratio_of_sums():
    found = sums_ratio([10.0, 20.0, 33.0], [10.0, 20.0, 30.0], [0])
    assert found.value == pytest.approx(63 / 60) and found.low <= found.value <= found.high
    assert sums_ratio([1.0], [0.0], [0]) is None


def test_clustered_errors_are_statsmodels_cr1():
    rng = np.random.default_rng(4)
    subjects = tuple(f"s{n}" for n in rng.integers(0, 57, 2000))
    lift = {name: 0.2 * rng.standard_normal() for name in set(subjects)}
    values = np.array([float(rng.random() < 0.6 + lift[name]) for name in subjects])
    codes = np.unique(subjects, return_inverse=True)[1]
    fit = sm.OLS(values, np.ones_like(values)).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    low, high = fit.conf_int()[0]
    ours = robust_mean(values, subjects)
    assert (ours.value, ours.low, ours.high) == pytest.approx((values.mean(), low, high), abs=1e-9)
    plain = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert ours.high - ours.value > 1.5 * plain, "alike items of a subject are worth fewer"


@pytest.mark.parametrize("clusters", [("a",) * 6, tuple("abcdef"), ("a", "a", "b", "b", None, "c")])
def test_where_nothing_is_clustered_there_is_no_clustered_error(clusters):
    assert robust_mean(np.arange(6.0), clusters) is None
