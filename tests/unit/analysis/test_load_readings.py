from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.analysis.decision import pareto
from harness.analysis.speed.performance import PointResult, gain, mean_ratio, speedup
from harness.analysis.speed.readings import (
    AT_LEAST,
    BELOW,
    INTERPOLATED,
    INVALID,
    MEASURED,
    NOT_MEASURED,
    NOT_REACHED,
    UNRESOLVED,
    latency_at_rate,
    monotone,
    rate_within,
    searched,
)
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Measured
from harness.records.cell import Cell
from harness.records.flag import Flag
from harness.records.load_result import CapacityResult, LoadResult, Spread
from harness.records.point import LoadPoint


def point(rate, p99, served=None, valid=True, repeats=None):
    runs = []
    for repeat, value in enumerate(repeats or [p99]):
        cell = Cell(
            f"{rate}-{repeat}", "load", "v", scenario="chat", point=LoadPoint("server", rate, 32), repeat=repeat
        )
        result = LoadResult(itl_ms=Spread(p99=value), achieved_rps=rate if served is None else served)
        runs.append(Measured(cell=cell, result=result))
    return PointResult("v", "chat", LoadPoint("server", rate, 32), valid, tuple(runs))


def test_a_measured_rate_is_read_as_measured():
    points = (point(1.0, 10.0), point(2.0, 20.0))
    assert latency_at_rate(points, "itl_ms_p99", 2.0).status == MEASURED
    assert latency_at_rate(points, "itl_ms_p99", 2.0).value == 20.0


def test_between_measured_rates_by_a_straight_line():
    reading = latency_at_rate((point(1.0, 10.0), point(3.0, 30.0)), "itl_ms_p99", 2.0)
    assert (reading.status, reading.value) == (INTERPOLATED, pytest.approx(20.0))


def test_never_beyond_the_measured_rates():
    points = (point(1.0, 10.0), point(3.0, 30.0))
    assert latency_at_rate(points, "itl_ms_p99", 3.5).status == NOT_REACHED
    assert latency_at_rate(points, "itl_ms_p99", 0.5).status == NOT_MEASURED
    assert latency_at_rate((), "itl_ms_p99", 1.0).status == NOT_MEASURED


def test_a_rate_that_the_server_missed_is_not_read():
    reading = latency_at_rate((point(1.0, 10.0), point(4.0, 300.0, served=2.5)), "itl_ms_p99", 4.0)
    assert reading.value is None and reading.status == NOT_REACHED and "2.50/s of 4/s" in reading.note


def test_capacity_lies_where_the_curve_crosses_the_limit():
    points = (point(1.0, 20.0), point(2.0, 40.0), point(4.0, 80.0))
    reading = rate_within(points, {"itl_ms_p99": 50.0})
    assert (reading.status, reading.value) == (INTERPOLATED, pytest.approx(2.5))


def test_capacity_is_at_least_the_highest_measured_rate():
    reading = rate_within((point(1.0, 20.0), point(2.0, 30.0)), {"itl_ms_p99": 50.0})
    assert (reading.status, reading.value) == (AT_LEAST, 2.0)


def test_capacity_stops_at_the_last_rate_that_was_reached():
    reading = rate_within((point(1.0, 20.0), point(4.0, 25.0, served=2.0)), {"itl_ms_p99": 50.0})
    assert (reading.status, reading.value) == (AT_LEAST, 1.0)
    assert "4/s was offered and not reached" in reading.note


def test_capacity_below_the_ladder_is_said():
    assert rate_within((point(1.0, 60.0), point(2.0, 80.0)), {"itl_ms_p99": 50.0}).status == BELOW
    assert rate_within((), {"itl_ms_p99": 50.0}).status == NOT_MEASURED
    assert rate_within((point(1.0, 60.0),), {}).status == NOT_MEASURED


def test_invalid_points_are_not_read():
    points = (point(1.0, 20.0), point(2.0, 30.0, valid=False))
    assert rate_within(points, {"itl_ms_p99": 50.0}).value == 1.0


def test_a_limit_that_is_met_exactly_is_kept():
    assert rate_within((point(1.0, 50.0), point(2.0, 90.0)), {"itl_ms_p99": 50.0}).value == pytest.approx(1.0)


def test_monotone_is_the_isotonic_least_squares_fit():
    assert monotone([1, 3, 2, 4]).tolist() == [1, 2.5, 2.5, 4]
    assert monotone([3, 2, 1]).tolist() == [2, 2, 2]
    assert monotone([]).size == 0


def test_repeats_are_averaged_and_their_spread_kept():
    three = point(1.0, None, repeats=[10.0, 12.0, 14.0])
    assert three.value("itl_ms_p99") == 12.0 and three.spread("itl_ms_p99") == (10.0, 14.0)
    assert point(1.0, 10.0).spread("itl_ms_p99") is None


def test_more_than_one_is_better_for_latency_and_for_rates():
    slow, fast = point(1.0, 20.0), point(2.0, 10.0)
    assert speedup(slow, fast, "itl_ms_p99").value == pytest.approx(2.0)
    assert gain(slow, fast, "achieved_rps").value == pytest.approx(2.0)


def test_nothing_is_compared_with_an_invalid_or_missing_point():
    assert speedup(point(1.0, 20.0, valid=False), point(1.0, 10.0), "itl_ms_p99") is None
    assert gain(None, point(1.0, 10.0), "achieved_rps") is None


def streams(scenario, *e2e_ms, first=0):
    runs = []
    for repeat, value in enumerate(e2e_ms, first):
        cell = Cell(f"{scenario}-{repeat}", "load", "v", scenario=scenario, repeat=repeat)
        runs.append(Measured(cell=cell, result=LoadResult.from_json({"e2e_ms_p50": float(value)})))
    return PointResult("v", scenario, LoadPoint("single_stream"), True, tuple(runs))


def test_a_mean_over_scenarios_is_welchs_on_the_geometric_means_of_the_repeats():
    base = [streams("chat", 100.0, 104.0, 101.0), streams("rag", 220.0, 231.0, 218.0)]
    own = [streams("chat", 80.0, 79.0), streams("rag", 150.0, 156.0)]
    ours = mean_ratio(base, own, "e2e_ms_p50")
    logs = [np.log([p.values("e2e_ms_p50") for p in side]).mean(axis=0) for side in (base, own)]
    theirs = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    assert (np.log(ours.low), np.log(ours.high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    parts = [speedup(b, v, "e2e_ms_p50").value for b, v in zip(base, own, strict=True)]
    assert ours.value == pytest.approx(stats.gmean(parts))


def test_welch_over_the_repeats_covers_the_true_ratio():
    """The requests of a run agree to 0.1 %, the runs to 2 %: it is runs that an interval counts."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        a, b = (streams("chat", *(ms * np.exp(rng.normal(0, 0.02, 3)))) for ms in (200, 100))
        found = speedup(a, b, "e2e_ms_p50")
        hits += found.low <= 2.0 <= found.high
    assert 0.93 <= hits / 400 <= 0.985


def test_one_run_gives_no_interval_however_many_requests_it_has():
    assert speedup(streams("chat", 200.0), streams("chat", 100.0, 101.0), "e2e_ms_p50") == Estimate(
        pytest.approx(200 / np.sqrt(100 * 101))
    )


def test_only_repeats_that_all_scenarios_have_count():
    base = [streams("chat", 100.0, 104.0, 101.0), streams("rag", 231.0, 218.0, first=1)]
    own = [streams("chat", 50.0, 51.0), streams("rag", 110.0, 109.0)]
    logs = (
        [np.log([104.0, 231.0]).mean(), np.log([101.0, 218.0]).mean()],
        np.log([[50.0, 110.0], [51.0, 109.0]]).mean(1),
    )
    theirs = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    ours = mean_ratio(base, own, "e2e_ms_p50")
    assert (np.log(ours.low), np.log(ours.high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    apart = [streams("chat", 100.0), streams("rag", 200.0, first=1)]
    assert mean_ratio(apart, own, "e2e_ms_p50").bounded is False and mean_ratio([], own, "e2e_ms_p50") is None
    assert mean_ratio([streams("chat", 100.0, 0.0)], own[:1], "e2e_ms_p50") is None, "0 has no logarithm"


def test_pareto_front_and_what_dominates():
    points = {"base": (1.0, 1.0), "good": (1.5, 0.99), "bad": (1.2, 0.97), "fast": (2.0, 0.9), "twin": (1.5, 0.99)}
    assert pareto.front(points) == ["base", "good", "twin", "fast"]
    assert pareto.front({}) == []
    around = {name: tuple(Estimate(v, v - 0.004, v + 0.004) for v in p) for name, p in points.items()}
    assert pareto.dominated(around) == {"bad": ["good", "twin"]}
    wide = around | {"bad": (around["bad"][0], Estimate(0.97, 0.95, 0.99))}
    assert pareto.dominated(wide) == {}, "the difference of their recoveries is not established"
    once = around | {"bad": (Estimate(1.2), around["bad"][1])}
    assert pareto.dominated(once) == {}, "one run"


def search(*results, valid=True):
    runs = []
    for repeat, (status, rate, low, high) in enumerate(results):
        cell = Cell(f"c{repeat}", "load", "v", scenario="chat", point=LoadPoint("capacity", None, 200), repeat=repeat)
        found = {"capacity_status": status, "capacity_rps": rate, "capacity_rps_low": low, "capacity_rps_high": high}
        result = CapacityResult.from_json(found)
        runs.append(Measured(cell=cell, result=result))
    return PointResult("v", "chat", LoadPoint("capacity", None, 200), valid, tuple(runs))


def test_a_search_is_read_with_the_interval_of_all_its_repeats():
    reading = searched(search(("resolved", 10.0, 9.5, 10.5), ("resolved", 11.0, 10.4, 11.6)))
    assert (reading.value, reading.status) == (10.5, MEASURED)
    assert "[9.50, 11.60]" in reading.note


@pytest.mark.parametrize(
    ("result", "value", "status"),
    [
        (("not_reached", 40.0, 40.0, None), 40.0, AT_LEAST),
        (("below_minimum", None, None, 0.5), None, BELOW),
        (("unresolved", 8.0, 4.0, 12.0), None, UNRESOLVED),
    ],
)
def test_a_search_without_an_answer_gives_none(result, value, status):
    reading = searched(search(result))
    assert (reading.value, reading.status) == (value, status)


def test_an_invalid_or_absent_search_is_not_read():
    assert searched(None) is None
    found = searched(search(("resolved", 10.0, 9.5, 10.5), valid=False))
    assert found.value is None and found.status == "invalid"
    mixed = searched(search(("resolved", 10.0, 9.5, 10.5), ("unresolved", 9.0, 5.0, 12.0)))
    assert mixed.value is None


def spoiled(rate, code):
    found = point(rate, 1.0, valid=False)
    runs = tuple(replace(run, flags=(Flag(code, "invalid"),)) for run in found.runs)
    return replace(found, runs=runs)


def test_a_reading_over_an_invalid_point_is_marked():
    points = (point(1.0, 10.0), spoiled(2.0, "client_cpu"), point(3.0, 30.0), point(4.0, 60.0))
    over = latency_at_rate(points, "itl_ms_p99", 2.0)
    assert (over.status, over.value) == (INTERPOLATED, pytest.approx(20.0))
    assert over.note == "read over 2/s: invalid (client_cpu)"
    assert rate_within(points, {"itl_ms_p99": 20.0}).note == "read over 2/s: invalid (client_cpu)"
    assert rate_within(points, {"itl_ms_p99": 45.0}).note == "", "the invalid point is not between its neighbours"


def test_an_invalid_point_is_never_called_not_reached():
    points = (point(1.0, 10.0), spoiled(2.0, "errors"))
    beyond = latency_at_rate(points, "itl_ms_p99", 2.0)
    assert (beyond.status, beyond.note) == (INVALID, "2/s: invalid (errors)")
    assert rate_within(points, {"itl_ms_p99": 20.0}).note == "2/s: invalid (errors)"
    assert rate_within(points[1:], {"itl_ms_p99": 20.0}).status == INVALID
