"""Changes on the same starts, tested together by rotation: against Student's t, and the promised error rate."""

import numpy as np
import pytest
import scipy.stats

from harness.analysis.statistics.rotation import Joint

NIGHTS = 5


def joint(logs, limit=0.0):
    checks = logs.shape[1]
    return Joint(logs, NIGHTS, np.full(checks, limit), np.full(checks, 1 / checks))


def starts(rng, checks, shared=1.0, candidates=1):
    shape = (NIGHTS + candidates, checks)
    return 0.01 * (shared * rng.normal(size=(shape[0], 1)) + rng.normal(size=shape))


@pytest.mark.parametrize("candidates", [1, 3])
def test_one_check_is_students_t(candidates):
    logs = starts(np.random.default_rng(4), 1, candidates=candidates)
    logs[NIGHTS:] += 0.025
    peer = scipy.stats.ttest_ind(logs[NIGHTS:, 0], logs[:NIGHTS, 0], alternative="greater").pvalue
    assert joint(logs).adjusted()[0] == pytest.approx(peer, abs=4 * np.sqrt(peer / 10_000))


def test_a_change_within_its_limit_is_no_finding_and_a_limit_takes_error_from_none():
    logs = starts(np.random.default_rng(4), 2)
    logs[NIGHTS:] = np.add(logs[:NIGHTS].mean(axis=0), (0.01, 0.05))
    small, large = joint(logs, limit=0.02).adjusted()
    assert small == 1 and large <= joint(logs).adjusted()[1] < 0.05


@pytest.mark.parametrize("shared", [0.0, 3.0], ids=["independent", "correlated"])
def test_equal_sides_have_a_p_below_a_quarter_in_a_quarter_of_comparisons(shared):
    rng = np.random.default_rng(8)
    found = [joint(starts(rng, 5, shared)).adjusted().min() <= 0.25 for _ in range(200)]
    assert scipy.stats.binomtest(sum(found), len(found), 0.25).pvalue > 0.01


def test_a_check_that_is_found_has_a_p_within_its_level():
    rng, seen = np.random.default_rng(6), []
    for _ in range(30):
        logs = starts(rng, 4)
        logs[NIGHTS:] += 0.02
        made = joint(logs)
        p = scipy.stats.ttest_ind(logs[NIGHTS:], logs[:NIGHTS], alternative="greater").pvalue
        first = int(np.argmin(p / made.shares))
        seen.append((made.adjusted()[first] <= 0.05, p[first] <= made.level(first, made.changes[first], 0.05)))
    assert all(one == other for one, other in seen) and len({one for one, _ in seen}) == 2
