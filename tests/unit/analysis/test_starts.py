"""Changes from start to start: the interval, p and power of starts, and the rule over all checks of a gate."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from harness.analysis.decision.gate_rule import decide
from harness.analysis.decision.gates import DECIDED_LATER, FAILED, INCONCLUSIVE, PASSED, Check
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.starts import start_change

A = [10.1, 9.9, 10.3, 10.0, 9.8]
B = [10.9, 11.2, 10.7]


def check(values_b, limit=1.05, values_a=A, lower=True):
    made = start_change(values_a, values_b)
    return Check("max-itl-regression", "x", limit, made.estimate, DECIDED_LATER, "", "itl_ms_p99", lower, made)


def test_two_sets_of_starts_are_students_t_on_logarithms():
    made = start_change(A, B)
    peer = scipy.stats.ttest_ind(np.log(B), np.log(A), alternative="greater")
    assert made.p_beyond(1.0, above=True) == pytest.approx(peer.pvalue)
    both = scipy.stats.ttest_ind(np.log(B), np.log(A)).confidence_interval(0.95)
    assert np.log([made.estimate.low, made.estimate.high]) == pytest.approx([both.low, both.high])


def test_one_start_against_several_has_the_prediction_interval():
    made, logs = start_change(A, [10.5]), np.log(A)
    half = scipy.stats.t(len(A) - 1).ppf(0.975) * logs.std(ddof=1) * np.sqrt(1 + 1 / len(A))
    assert np.log(made.estimate.high) == pytest.approx(np.log(10.5) - logs.mean() + half)


@pytest.mark.parametrize(("a", "b"), [([10.0, 10.1], [10.0]), ([10.0], [10.1]), ([10.0] * 5, [10.0]), ([], A)])
def test_too_few_starts_and_starts_that_do_not_vary_give_no_change(a, b):
    assert start_change(a, b) is None


def test_the_power_is_that_of_the_noncentral_t_where_no_limit_is_in_the_way():
    made, alpha, true = start_change(A, [10.5]), 0.01, 0.08
    needed = scipy.stats.t(made.freedom).ppf(1 - alpha)
    peer = scipy.stats.nct(made.freedom, true / made.error).sf(needed)
    assert made.power(true, 0.0, alpha) == pytest.approx(peer, abs=0.002)


def test_a_detectable_change_is_found_in_90_percent_of_nights():
    made = start_change(A, [10.5])
    found = made.detectable(np.log(1.05), 0.01)
    assert made.power(found, np.log(1.05), 0.01) == pytest.approx(0.9, abs=1e-3)


def test_a_check_fails_beyond_its_limit_and_beyond_chance_only():
    [found] = decide([check([10.9])], 0.08)
    assert found.status == FAILED and found.adjusted == found.p < 0.05
    [small] = decide([check([10.4], limit=1.05)], 0.08)
    assert small.status == INCONCLUSIVE, "within the limit, its interval is not"
    [kept] = decide([check([10.0], limit=1.2)], 0.08)
    assert kept.status == PASSED
    noisy = [9.0, 11.0, 10.0, 12.0, 8.5]
    assert decide([check([11.0], values_a=noisy)], 0.08)[0].status == INCONCLUSIVE, "beyond the limit, by chance"


def test_many_checks_share_the_five_percent():
    """One check alone fails; the same check among twenty that find nothing does not."""
    one, others = check([10.55]), [check([10.0])] * 20
    assert decide([one], 0.08)[0].status == FAILED
    among = decide([one, *others], 0.08)[0]
    assert among.adjusted == pytest.approx(21 * among.p) and among.status == INCONCLUSIVE
    assert among.power < decide([one], 0.08)[0].power


def test_the_check_of_all_load_points_has_most_of_the_five_percent():
    """Weighted Holm: the first step of a p with weight 0.7 is p/0.7, of one of ten that share the rest 10·p/0.3."""
    whole, others = replace(check([10.7]), whole=True), [check([10.0])] * 10
    found = decide([whole, *others], 0.08)
    assert found[0].adjusted == pytest.approx(found[0].p / 0.7) and found[0].status == FAILED
    [*_, single] = decide([replace(check([10.0]), whole=True), *others, check([10.9])], 0.08)
    assert single.adjusted == pytest.approx(11 * single.p / 0.3)


def test_checks_of_the_same_starts_are_adjusted_for_what_they_are_worth_together():
    """Twenty copies of a check are one check; twenty checks of other starts are twenty."""
    names = (tuple("abcde"), ("tonight",))

    def joint(values_b, values_a=A):
        return replace(check(values_b), starts=start_change(values_a, values_b, names))

    one = decide([joint([10.55])], 0.08)[0]
    assert [found.adjusted for found in decide([joint([10.55])] * 20, 0.08)] == pytest.approx([one.adjusted] * 20)
    apart = decide([check([10.55])] + [check([10.0])] * 19, 0.08)[0]
    assert one.adjusted == pytest.approx(apart.p, rel=0.1) and apart.p < 0.05 < apart.adjusted
    assert one.power >= apart.power


def test_throughput_counts_downwards():
    [found] = decide([check([9.2], limit=0.95, lower=False)], 0.08)
    assert found.status == FAILED and found.detectable < 0.95
    assert decide([check([10.9], limit=0.95, lower=False)], 0.08)[0].status == PASSED


def test_a_recovery_fails_where_it_is_shown_to_be_below_its_limit():
    def recovery(value, low, high):
        return Check("min-recovery", "mmlu", 0.99, Estimate(value, low, high), DECIDED_LATER, lower_is_better=False)

    found = decide([recovery(0.96, 0.94, 0.98)], 0.08) + decide([recovery(0.985, 0.97, 1.0)], 0.08)
    assert [one.status for one in found] == [FAILED, INCONCLUSIVE]
    assert decide([recovery(1.0, 0.995, 1.005)], 0.08)[0].status == PASSED
    assert decide([recovery(0.9, None, None)], 0.08)[0].status == INCONCLUSIVE, "no interval"
