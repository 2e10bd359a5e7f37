"""SLOs of any metric are read from stored requests: changed or added later, they need no new measurement."""

import numpy as np
import pytest

from harness.analysis.speed.objectives import Standing, objectives, standing, with_slo_values
from harness.analysis.speed.performance import PointResult
from harness.analysis.speed.readings import rate_within
from harness.analysis.study import Measured
from harness.config.slo import Slo
from harness.records.cell import Cell
from harness.records.load_result import LoadResult
from harness.records.manifest import Manifest, Scenario
from harness.records.point import LoadPoint


def rows(seed=0, count=200, failed=4, mean_gap_s=0.02):
    """Requests of 2 to 30 tokens with exponential gaps."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        tokens = np.cumsum(rng.exponential(mean_gap_s, rng.integers(2, 31))) + 0.1 * rng.random() + index
        row = {"index": index, "intended_s": float(index), "sent_s": float(index), "token_s": tokens.tolist()}
        found.append(row | {"completion_tokens": len(tokens)})
    for row in found[:failed]:
        row |= {"error": {"kind": "http_503", "message": "busy"}, "token_s": []}
    return found


def measured(stored, **result):
    return Measured(Cell("v/s/p", "load", "v"), LoadResult.from_json(result), load_rows=lambda: stored)


def spread(stored):
    """TTFT, gaps, TPOT, E2E in ms of the completed requests, by their definitions."""
    done = [(np.array(row["token_s"]), row["intended_s"]) for row in stored if "error" not in row]
    return {
        "ttft_ms": [1e3 * (t[0] - at) for t, at in done],
        "e2e_ms": [1e3 * (t[-1] - at) for t, at in done],
        "itl_ms": np.concatenate([1e3 * np.diff(t) for t, _ in done]),
        "tpot_ms": [1e3 * (t[-1] - t[0]) / (len(t) - 1) for t, _ in done],
    }


def test_any_percentile_or_mean_is_that_of_the_stored_requests():
    stored = rows()
    known = spread(stored)
    slo = Slo.of({"ttft_ms_p75": 1, "itl_ms_p99.9": 1, "e2e_ms_mean": 1, "tok_per_s_per_user_p1": 1, "itl_ms_p99": 1})
    found = with_slo_values(measured(stored, itl_ms_p99=123.0), [slo]).metrics
    assert found["itl_ms_p99"] == 123.0, "what is stored stays"
    assert found["ttft_ms_p75"] == pytest.approx(np.percentile(known["ttft_ms"], 75))
    assert found["itl_ms_p99.9"] == pytest.approx(np.percentile(known["itl_ms"], 99.9))
    assert found["e2e_ms_mean"] == pytest.approx(np.mean(known["e2e_ms"]))
    assert found["tok_per_s_per_user_p1"] == pytest.approx(np.percentile(1e3 / np.array(known["tpot_ms"]), 1))


def test_goodput_is_distserves_of_the_requests_that_were_sent():
    """As vLLM's benchmark counts good requests: every metric at most its limit; those that failed are not good."""
    stored = rows()
    known = spread(stored)
    limits = {"ttft_ms": 90.0, "tpot_ms": 22.0, "e2e_ms": 700.0}
    good = sum(all(known[name][n] <= limit for name, limit in limits.items()) for n in range(len(known["ttft_ms"])))
    slo = Slo.of(limits, goodput=0.9)
    found = with_slo_values(measured(stored), [slo]).metrics
    assert 0.2 < good / 200 < 0.8
    assert found[slo.goodput_key] == good / 200


def test_rows_are_read_only_where_a_value_is_missing():
    def unread():
        raise AssertionError

    cell = Measured(Cell("v/s/p", "load", "v"), LoadResult.from_json({"itl_ms_p99": 1.0}), load_rows=unread)
    assert with_slo_values(cell, [Slo.of(itl_ms_p99=2)]) is cell


def test_the_rate_at_each_tier_is_read_off_one_ladder():
    def point(rate, gap_s):
        known = with_slo_values(measured(rows(int(rate), mean_gap_s=gap_s, failed=0), served_rps=rate), WANTED)
        return PointResult("v", "s", LoadPoint("server", rate), True, (known,))

    interactive, batch = {"ttft_ms": 300.0, "tpot_ms": 30.0, "goodput": 0.9}, {"e2e_ms_p95": 2500.0}
    WANTED = [Slo.of(interactive), Slo.of(batch)]
    ladder = (point(1.0, 0.01), point(2.0, 0.02), point(4.0, 0.04), point(8.0, 0.08))
    fast, slow = rate_within(ladder, interactive), rate_within(ladder, batch)
    assert fast.status == slow.status == "interpolated" and 2.0 < fast.value < slow.value < 8.0
    assert rate_within(ladder, {"e2e_ms_p95": 1e6}).status == "at least"
    floor = with_slo_values(measured(rows(mean_gap_s=0.02)), [Slo.of(tok_per_s_per_user_p50=40)]).metrics
    assert standing(floor, {"tok_per_s_per_user_p50": 40.0}).met
    assert not standing(floor, {"tok_per_s_per_user_p50": 80.0}).met


def test_the_limit_that_is_used_most_decides():
    assert standing({"a": 1.0, "itl_ms_p99": 60.0, "ttft_ms_p50": 100.0}, {"itl_ms_p99": 50, "ttft_ms_p50": 400}) == (
        Standing("itl_ms_p99", 1.2, 60.0)
    )
    assert standing({"itl_ms_p99": 60.0}, {"itl_ms_p99": 50, "ttft_ms_p50": 400}) is None, "not measured"
    assert standing({}, {}) is None


def test_tiers_are_stored_and_read_with_the_manifest():
    tiers = {"interactive": {"tpot_ms_p99": 30.0}, "nothing": {}}
    scenario = Scenario("s", 1, 2, {"itl_ms_p99": 50.0}, tiers)
    manifest = Manifest("x", "v", {}, scenarios={"s": scenario})
    again = Manifest.from_json(manifest.to_json() | {"variants": {}}).scenarios["s"]
    assert again == scenario
    assert list(objectives(again)) == ["SLO", "interactive"]
    assert "tiers" not in Scenario("s", 1, 2, {}).to_json()
