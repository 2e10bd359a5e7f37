import math

import numpy as np
import pytest

from harness.config.slo import Slo
from harness.loadgen.client.trace import Failure
from harness.loadgen.metrics import Window
from harness.loadgen.slo import judge, percentile
from tests.unit.load.samples import made

SLO = Slo.of(ttft_ms_p99=250.0, itl_ms_p99=120.0)


def cell(ttft_s=0.2, gap_s=0.1, requests=100):
    return [made(n, n * 1.0, n * 1.0, [n + ttft_s + k * gap_s for k in range(5)]) for n in range(requests)]


def failed(index):
    return made(index, index * 1.0, index * 1.0, [], completion_tokens=None, error=Failure("http_503", "busy"))


def test_each_metric_is_compared_with_its_limit():
    reading = judge(cell(), SLO)
    assert reading.ratios == pytest.approx({"ttft": 0.8, "itl": 100 / 120})
    assert (reading.met, reading.limited_by) == (True, "itl")
    assert judge(cell(gap_s=0.15), SLO).ratio == pytest.approx(1.25)
    assert not judge(cell(gap_s=0.15), SLO).met


def test_only_what_is_limited_counts():
    reading = judge(cell(gap_s=9.0), Slo.of(ttft_ms_p99=250.0))
    assert reading.met and set(reading.ratios) == {"ttft"}
    assert judge(cell(), Slo.of()).met


def test_a_failed_request_never_got_its_token():
    samples = cell()
    assert judge([*samples[:99], failed(99)], SLO).met is False  # p99 of 100 lies between the two highest
    assert judge([*cell(requests=299), failed(299)], SLO).met is True
    reading = judge([*cell(requests=95), *(failed(n) for n in range(95, 100))], SLO)
    assert reading.values["ttft_ms_p99"] == math.inf and reading.limited_by == "ttft"
    assert reading.values["itl_ms_p99"] == pytest.approx(100.0)


def test_a_turn_after_a_failure_is_not_a_second_failure():
    never = made(301, 0.0, None, [], turn=1, completion_tokens=None)
    assert judge([*cell(requests=299), failed(299), *[never] * 50], SLO).met is True


def test_without_any_value_nothing_is_met():
    assert judge([], SLO).ratio == math.inf


def test_the_window_leaves_out_what_is_outside_of_it():
    slow_start = [made(n, n * 1.0, n * 1.0, [n + 5.0, n + 6.0]) for n in range(3)]
    samples = [*slow_start, *cell(requests=200)[10:]]
    assert not judge(samples, SLO).met
    assert judge(samples, SLO, Window("steady", 9.0, 300.0)).met


def test_the_tally_is_the_share_beyond_the_limit():
    samples = [*cell(requests=90), *(made(n, n * 1.0, n * 1.0, [n + 1.0, n + 1.1]) for n in range(90, 100))]
    tallies = judge(samples, SLO).tallies
    assert tallies["ttft"].share == pytest.approx(0.1)
    assert sum(tallies["ttft"].of) == 100 and sum(tallies["itl"].of) == 90 * 4 + 10
    assert tallies["ttft"].beyond[-1] == 10 and sum(tallies["ttft"].beyond[:-1]) == 0


def test_p99_at_the_limit_is_one_percent_beyond_it():
    values = np.random.default_rng(0).exponential(size=100_000)
    limit = percentile(values, 99)
    assert np.mean(values > limit) == pytest.approx(0.01, abs=1e-4)
    assert limit == pytest.approx(np.percentile(values, 99))


def test_a_percentile_among_infinite_values():
    values = np.array([1.0, 2.0, math.inf])
    assert percentile(values, 50) == 2.0
    assert percentile(values, 75) == math.inf
    assert percentile(np.full(5, math.inf), 50) == math.inf


def test_limits_on_any_metric_count_the_values_beyond_them():
    samples = cell()  # TTFT 200 ms, TPOT 100 ms, E2E 600 ms, 10 tokens/s
    reading = judge(samples, Slo.of(e2e_ms_p95=500.0, tpot_ms_p50=200.0, tok_per_s_per_user_p1=5.0))
    assert reading.values == pytest.approx({"tpot_ms_p50": 100, "e2e_ms_p95": 600, "tok_per_s_per_user_p1": 10})
    assert reading.ratios == pytest.approx({"tpot_ms_p50": 0.5, "e2e_ms_p95": 1.2, "tok_per_s_per_user_p1": 0.5})
    assert [reading.tallies[name].share for name in reading.ratios] == [0.0, 1.0, 0.0]
    assert [reading.tallies[name].allowed for name in reading.ratios] == pytest.approx([0.5, 0.05, 0.01])
    assert (
        judge([*samples[:95], *(failed(n) for n in range(95, 100))], Slo.of(tok_per_s_per_user_p1=5.0)).ratio
        == math.inf
    )


def test_goodput_counts_requests_that_meet_all_limits_at_once():
    slow_start = [made(n, n * 1.0, n * 1.0, [n + 0.9, n + 1.0]) for n in range(3)]  # TTFT 900 ms
    slow_end = [made(n, n * 1.0, n * 1.0, [n + 0.2, n + 1.2]) for n in range(3, 5)]  # TPOT 1 s
    samples = [*slow_start, *slow_end, *cell(requests=100)[5:99], failed(99)]
    reading = judge(samples, Slo.of(ttft_ms=250.0, tpot_ms=120.0, goodput=0.9))
    assert reading.values == {"goodput": pytest.approx(0.94)} and reading.met
    assert reading.ratio == pytest.approx(0.6) and sum(reading.tallies["goodput"].beyond) == 6
    assert not judge(samples, Slo.of(ttft_ms=250.0, tpot_ms=120.0, goodput=0.95)).met


def test_a_mean_has_a_level_with_the_error_of_its_blocks():
    reading = judge(cell(), Slo.of(itl_ms_mean=80.0, tok_per_s_per_user_mean=5.0))
    assert reading.values == pytest.approx({"itl_ms_mean": 100.0, "tok_per_s_per_user_mean": 10.0})
    assert reading.ratios == pytest.approx({"itl_ms_mean": 1.25, "tok_per_s_per_user_mean": 0.5})
    assert reading.tallies["itl_ms_mean"].ln_ratio == pytest.approx(math.log(1.25))
    assert reading.tallies["itl_ms_mean"].error == pytest.approx(0.0, abs=1e-6)
    rng = np.random.default_rng(0)
    errors, means = [], []
    for _ in range(200):
        ttft_s = rng.exponential(0.2, 200)
        samples = [made(n, n * 1.0, n * 1.0, [n + one, n + one + 0.1]) for n, one in enumerate(ttft_s)]
        level = judge(samples, Slo.of(ttft_ms_mean=200.0)).tallies["ttft_ms_mean"]
        errors.append(level.error)
        means.append(level.ln_ratio)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.2)


def test_a_mean_is_of_completed_requests_and_without_bound_where_too_many_failed():
    slo = Slo.of(e2e_ms_mean=1000.0)
    assert judge([*cell(requests=199), failed(199)], slo).values["e2e_ms_mean"] == pytest.approx(600.0)
    assert judge([*cell(requests=95), *(failed(n) for n in range(95, 100))], slo).ratio == math.inf
