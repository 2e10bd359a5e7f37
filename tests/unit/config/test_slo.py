"""SLOs as users write them: any metric, any percentile or the mean, several at once, goodput; and what they mistype."""

import math

import pytest

from harness.config.slo import Slo


def test_the_forms_that_a_user_writes():
    slo = Slo.of({"itl_ms_p99": 50, "ttft_ms_p99": 1000, "e2e_ms_mean": None})
    assert slo.to_json() == {"ttft_ms_p99": 1000.0, "itl_ms_p99": 50.0}, "null is no limit; one order"
    assert Slo.of({"e2e_ms_p99.9": 8000, "tpot_ms_mean": 40, "tok_per_s_per_user_p1": 20}).keys == (
        "tpot_ms_mean",
        "e2e_ms_p99.9",
        "tok_per_s_per_user_p1",
    )
    assert Slo.of(e2e_ms_p99_9=8000).limits[0].percent == 99.9, "where a dot is in the way"
    goodput = Slo.of(ttft_ms=1000, tpot_ms=50, goodput=0.99)
    assert (goodput.keys, goodput.goodput) == (("goodput(ttft_ms=1000, tpot_ms=50)",), 0.99)
    assert not Slo.of() and not Slo.of(itl_ms_p99=None) and goodput


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"itl_p99_ms": 50}, "itl_p99_ms: no such limit; did you mean 'itl_ms' or 'itl_ms_p99'"),
        ({"latency": 50}, "known: ttft_ms, itl_ms, tpot_ms, e2e_ms, tok_per_s_per_user, each with _mean or _pN"),
        ({"ttft_ms_p101": 5}, "ttft_ms_p101: a percentile is between 0 and 100, got 101"),
        ({"ttft_ms_p0": 5}, "a percentile is between 0 and 100, got 0"),
        ({"ttft_ms_p100": 5}, "a percentile is between 0 and 100"),
        ({"ttft_ms_p-1": 5}, "no such limit"),
        ({"itl_ms_p99": -50}, "itl_ms_p99: a limit is a number above 0, got -50"),
        ({"itl_ms_p99": 0}, "a limit is a number above 0, got 0"),
        ({"itl_ms_p99": float("1e999")}, "a limit is a number above 0, got inf"),
        ({"itl_ms_p99": math.nan}, "a limit is a number above 0, got nan"),
        ({"itl_ms_p99": "50 ms"}, "a limit is a number above 0, got '50 ms'"),
        ({"itl_ms_p99": True}, "a limit is a number above 0, got True"),
        ({"itl_ms": 50}, "itl_ms: a limit of each request; set goodput: 0.99 .* or itl_ms_p99 for a percentile of all"),
        ({"tok_per_s_per_user": 20}, "or tok_per_s_per_user_p1"),
        ({"goodput": 0.99}, "goodput: needs limits of each request beside it"),
        ({"goodput": 99, "ttft_ms": 1}, "goodput: a share between 0 and 1, got 99; 0.99 is 99 % of requests"),
        ({"tok_per_s_per_user_p99": 20}, "asks the fastest alone; for 99 % of requests write p1"),
    ],
)
def test_a_mistake_is_named(given, said):
    with pytest.raises(ValueError, match=said):
        Slo.of(given)


def test_a_ratio_is_at_most_one_where_the_limit_is_met():
    slo = Slo.of(itl_ms_p99=50, tok_per_s_per_user_p1=20, ttft_ms=100, goodput=0.9)
    measured = {"itl_ms_p99": 40.0, "tok_per_s_per_user_p1": 25.0, "goodput(ttft_ms=100)": 0.95}
    assert slo.ratios(measured.__getitem__) == pytest.approx(
        {"itl_ms_p99": 0.8, "tok_per_s_per_user_p1": 0.8, "goodput(ttft_ms=100)": 0.5}
    )
    (floor,) = Slo.of(tok_per_s_per_user_p1=20).limits
    assert (floor.ratio(0.0), floor.allowed) == (math.inf, 0.01)


def test_what_a_store_holds_and_nobody_knows_is_left_out():
    assert Slo.known({"itl_ms_p99": 50.0, "someday_ms_p99": 1.0, "goodput": 0.9}).keys == ("itl_ms_p99",)
    assert not Slo.known({"itl_ms_p99": -1.0})
