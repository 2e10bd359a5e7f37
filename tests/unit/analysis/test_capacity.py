"""The error of a capacity and of a ratio of two; what is only a bound stays one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.analysis.speed.capacity import (
    capacity,
    estimate,
    gain,
    mean_gain,
    ratio_bounds,
    searched_capacity,
    with_error,
)
from harness.analysis.speed.readings import AT_LEAST, INTERPOLATED, MEASURED, UNRESOLVED, Reading
from harness.analysis.statistics.intervals import Estimate
from tests.unit.analysis.test_load_readings import point, search

SLO = {"itl_ms_p99": 50.0}


def test_one_ladder_gives_no_interval_and_repeats_do():
    once = with_error((point(1.0, 20.0), point(2.0, 60.0)), SLO)
    assert once.status == INTERPOLATED and once.error is None and not estimate(once).bounded
    twice = with_error((point(1.0, None, repeats=[20.0, 21.0]), point(2.0, None, repeats=[60.0, 61.0])), SLO)
    found = estimate(twice)
    assert found.low < found.value < found.high and twice.error.freedom == 1


def test_a_repeat_that_never_crosses_the_limit_leaves_no_interval():
    mixed = with_error((point(1.0, None, repeats=[20.0, 20.0]), point(2.0, None, repeats=[70.0, 45.0])), SLO)
    assert mixed.status == INTERPOLATED and mixed.error is None


def test_a_single_search_has_the_interval_of_the_search_widened_to_95_percent():
    found = estimate(searched_capacity(search(("resolved", 10.0, 9.5, 10.5))))
    assert found.low < 9.5 and found.high > 10.5
    assert np.log(found.high / found.low) == pytest.approx(np.log(10.5 / 9.5) * 1.96 / 1.645, rel=1e-3)


def test_one_search_is_labelled_and_two_have_students_t():
    once, twice = (searched_capacity(search(*[("resolved", 10.0, 9.5, 10.5)] * k)) for k in (1, 2))
    assert once.within_search and once.note == "interval within this search"
    assert not twice.within_search and twice.note == "2 searches"
    ratio = lambda found: np.log(estimate(found).high / estimate(found).low)  # noqa: E731
    assert ratio(twice) > ratio(once), "two searches that agree by chance show no more than one"
    assert gain(once, twice).within_search and not gain(twice, twice).within_search
    nearly = searched_capacity(search(("resolved", 10.0, 9.5, 10.5), ("resolved", 10.001, 9.5, 10.5)))
    assert ratio(nearly) == pytest.approx(ratio(twice), rel=0.01)


def test_a_ratio_of_searches_is_welchs_over_all_scenarios():
    of = lambda *rates: searched_capacity(search(*[("resolved", r, 0.99 * r, 1.01 * r) for r in rates]))  # noqa: E731
    bases, own = [of(8.0, 8.5, 8.2), of(3.0, 3.2, 3.1)], [of(12.0, 12.9, 12.1), of(4.4, 4.3, 4.7)]
    logs = [np.log([[rate for _, rate in reading.rates] for reading in side]).mean(axis=0) for side in (own, bases)]
    theirs = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    ours = mean_gain(bases, own).estimate
    assert (np.log(ours.low), np.log(ours.high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert gain(bases[0], own[0]) == mean_gain(bases[:1], own[:1])


def test_a_ratio_of_ladders_is_welchs_over_their_repeats():
    slow = with_error((point(1.0, None, repeats=[20.0, 21.0]), point(2.0, None, repeats=[60.0, 61.0])), SLO)
    fast = with_error((point(2.0, None, repeats=[20.0, 21.0]), point(4.0, None, repeats=[63.0, 61.0])), SLO)
    logs = [np.log([rate for _, rate in reading.rates]) for reading in (fast, slow)]
    theirs = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    ours = gain(slow, fast).estimate
    assert (np.log(ours.low), np.log(ours.high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_searches_that_disagree_widen_the_interval_by_what_they_differ():
    alike = estimate(searched_capacity(search(*[("resolved", r, 0.95 * r, 1.05 * r) for r in (10.0, 10.1, 9.9)])))
    apart = estimate(searched_capacity(search(*[("resolved", r, 0.95 * r, 1.05 * r) for r in (8.0, 10.0, 12.0)])))
    assert apart.high / apart.low > 2 * alike.high / alike.low > 2


def test_a_search_is_preferred_to_the_ladder():
    points = (point(1.0, 20.0), point(2.0, 60.0), search(("resolved", 10.0, 9.5, 10.5)))
    assert capacity(points, SLO).status == MEASURED and capacity(points, SLO).value == 10.0


def test_the_interval_of_a_ratio_covers_the_truth_at_its_level():
    """Three searches on either side, a true ratio of 1.5, the spread from start to start as large as a search's own."""
    rng, hits, studies = np.random.default_rng(5), 0, 400

    def one(truth):
        rates = map(float, truth * np.exp(rng.normal(0, 0.02 * 2**0.5, size=3)))
        return searched_capacity(search(*[("resolved", r, r * math.exp(-0.0329), r * math.exp(0.0329)) for r in rates]))

    for _ in range(studies):
        hits += (lambda e: e.low <= 1.5 <= e.high)(gain(one(8.0), one(12.0)).estimate)
    assert 0.92 <= hits / studies <= 0.995


def test_a_lower_bound_gives_a_lower_bound_of_the_ratio():
    base = searched_capacity(search(("resolved", 10.0, 9.5, 10.5)))
    found = gain(base, Reading(20.0, AT_LEAST))
    assert found.at_least and found.estimate.value == 2.0
    assert found.estimate.low < 2.0 and found.estimate.high is None


def test_no_ratio_to_a_baseline_that_is_only_bounded():
    assert gain(Reading(10.0, AT_LEAST), Reading(20.0, MEASURED)) is None
    assert gain(None, Reading(20.0, MEASURED)) is None
    assert gain(Reading(10.0, MEASURED), Reading(20.0, MEASURED)).estimate == Estimate(pytest.approx(2.0))


def test_unresolved_searches_bound_the_ratio():
    base = searched_capacity(search(("unresolved", 32.0, 27.8, 38.2)))
    own = searched_capacity(search(("unresolved", 120.0, 82.4, 190.9)))
    assert (base.status, base.low, base.high) == (UNRESOLVED, 27.8, 38.2)
    assert gain(base, own).at_least and gain(base, own).estimate.value == pytest.approx(82.4 / 38.2)
    assert gain(own, base) is None, "a lower bound below 1 shows no gain"
    assert ratio_bounds(own, base) == (pytest.approx(27.8 / 190.9), pytest.approx(38.2 / 82.4))


def test_an_estimate_beyond_max_rps_is_a_lower_bound():
    found = search(("unresolved", 120.0, 82.4, 190.9))
    limited = replace(found, runs=tuple(replace(run, inputs={"search": {"max_rps": 100.0}}) for run in found.runs))
    reading = searched_capacity(limited)
    assert (reading.value, reading.low, reading.high) == (None, 82.4, None) and "max_rps" in reading.note


def test_the_rungs_around_a_reading_bound_it():
    ladders = (point(1.0, 20.0), point(2.0, 40.0), point(4.0, 80.0)), (point(4.0, 20.0), point(8.0, 40.0))
    base, own = (capacity(points, SLO) for points in ladders)
    assert (base.low, base.high, own.low, own.high) == (2.0, 4.0, 8.0, None)
    assert ratio_bounds(base, own) == (2.0, None)
