import dataclasses
import json

import pytest

from harness.load.metrics import Sample, row, summarize
from harness.load.trace import Failure
from harness.load.validity import flags

# Two requests, by hand: meant for 0 s and 1 s.
FIRST = Sample(0, 10, 3, 0.0, 0.002, 0.001, 0.5, [0.1, 0.2, 0.4], 0, 10, 3, None)
SECOND = Sample(1, 10, 3, 1.0, 1.010, 0.0, 2.0, [1.5, 1.6, 2.0], 0, 10, 3, None)
FAILED = Sample(2, 10, 3, 1.5, 1.501, 0.0, 1.7, [1.65], 0, None, None, Failure("reset", "gone"))
CANCELLED = dataclasses.replace(FAILED, index=3, error=Failure("cancelled", "time"))
UNSENT = Sample(4, 10, 3, 3.0, None, 0.0, None, [], 0, None, None, None)


def test_latencies_of_two_requests():
    r = summarize([FIRST, SECOND], 2.0)
    assert r["ttft_ms_mean"] == pytest.approx(300.0)
    assert r["ttft_ms_p50"] == pytest.approx(300.0)
    assert r["ttft_ms_p90"] == pytest.approx(460.0)  # 100 + 0.9 * 400
    assert r["ttft_from_send_ms_mean"] == pytest.approx((98 + 490) / 2)
    assert r["e2e_ms_mean"] == pytest.approx((400 + 1000) / 2)
    assert r["e2e_from_send_ms_mean"] == pytest.approx((398 + 990) / 2)
    assert r["itl_ms_mean"] == pytest.approx((100 + 200 + 100 + 400) / 4)
    assert r["itl_ms_p50"] == pytest.approx(150.0)
    assert r["itl_ms_p99"] == pytest.approx(394.0)  # 200 + 0.97 * 200
    assert r["tpot_ms_mean"] == pytest.approx((300 / 2 + 500 / 2) / 2)
    assert r["send_lag_ms_p50"] == pytest.approx((1 + 10) / 2)  # without the millisecond of connecting


def test_rates_over_the_whole_duration():
    r = summarize([FIRST, SECOND], 2.0)
    assert r["duration_s"] == pytest.approx(2.0)
    assert r["achieved_rps"] == pytest.approx(1.0)
    assert r["offered_rps"] == 2.0
    assert r["output_tok_per_s"] == pytest.approx(3.0)
    assert r["total_tok_per_s"] == pytest.approx(13.0)
    assert (r["prompt_tokens"], r["completion_tokens"]) == (20, 6)


def test_the_books_balance_and_failures_stay_out_of_the_figures():
    r = summarize([FIRST, SECOND, FAILED, CANCELLED, UNSENT], None)
    assert r["requests_sent"] == 4
    assert r["requests_sent"] == r["requests_completed"] + r["requests_failed"] + r["requests_cancelled"]
    books = [r[f"requests_{fate}"] for fate in ("completed", "failed", "cancelled", "unsent")]
    assert books == [2, 1, 1, 1]
    assert r["errors"] == {"reset": 1}
    assert r["ttft_ms_mean"] == pytest.approx(300.0)
    assert r["offered_rps"] is None


def test_one_token_has_no_gap_and_no_tpot():
    one = dataclasses.replace(FIRST, token_s=[0.1], completion_tokens=1, asked_output_tokens=1)
    r = summarize([one], None)
    assert (r["itl_ms_p50"], r["tpot_ms_mean"]) == (None, None)
    assert r["e2e_ms_p50"] == pytest.approx(100.0)


def test_several_tokens_in_an_event_count_by_usage():
    r = summarize([dataclasses.replace(FIRST, completion_tokens=7)], None)
    assert r["tpot_ms_mean"] == pytest.approx(300 / 6)
    assert r["itl_ms_mean"] == pytest.approx(150.0)


def test_nothing_completed_gives_no_figures_and_no_crash():
    r = summarize([FAILED, UNSENT], 1.0)
    assert (r["ttft_ms_p50"], r["output_tok_per_s"], r["timestamps"]) == (None, None, None)


def test_result_has_the_keys_that_records_promise():
    r = summarize([FIRST, SECOND], 2.0)
    for name in ("ttft_ms", "itl_ms", "tpot_ms", "e2e_ms", "ttft_from_send_ms"):
        assert {f"{name}_{s}" for s in ("mean", "p50", "p90", "p95", "p99")} <= r.keys()
    promised = "offered_rps achieved_rps output_tok_per_s total_tok_per_s duration_s requests_sent requests_completed"
    promised += " requests_failed requests_cancelled send_lag_ms_p99 prompt_tokens completion_tokens errors"
    assert set(promised.split()) <= r.keys()
    assert json.loads(json.dumps(r)) == r


def test_rows_hold_the_raw_columns():
    assert row(FIRST)["token_s"] == [0.1, 0.2, 0.4]
    assert row(FAILED)["error"] == {"kind": "reset", "message": "gone"}
    assert row(UNSENT)["sent_s"] is None
    assert {"index", "prompt_tokens", "output_tokens", "intended_s", "sent_s", "completion_tokens"} <= row(FIRST).keys()
    json.dumps([row(s) for s in (FIRST, FAILED, UNSENT)])


def verdict(samples, profile="server", expected_hit_rate=0.0, **changes):
    result = {**summarize(samples, 1.0), "event_loop_lag_ms_p99": 0.2, "prefix_cache_hit_rate": None, **changes}
    found = flags(result, samples, profile=profile, expected_hit_rate=expected_hit_rate)
    return {flag.code: flag.level for flag in found}


MANY = [dataclasses.replace(FIRST, index=n) for n in range(200)]


def test_a_clean_cell_has_no_flags():
    assert verdict(MANY) == {}


def test_few_requests_have_no_p99():
    assert verdict(MANY[:99]) == {"few_samples": "note"}


def test_late_sends_invalidate_a_rate():
    late = [dataclasses.replace(s, sent_s=0.02) for s in MANY]  # 19 ms, limit max(10, 10 % of 100) ms
    assert verdict(late) == {"client_lag": "invalid"}
    slow_server = [dataclasses.replace(s, token_s=[1.0, 1.1, 1.2]) for s in late]
    assert verdict(slow_server) == {}
    assert verdict(late, profile="throughput") == {}


def test_user_space_stamps_are_judged_by_the_event_loop():
    user = [dataclasses.replace(s, kernel_stamps=False) for s in MANY]
    assert verdict(user) == {}
    assert verdict(user, event_loop_lag_ms_p99=16.0) == {"event_loop_lag": "caution"}
    assert verdict(MANY, event_loop_lag_ms_p99=16.0) == {}


def test_failures_are_a_caution_and_from_five_percent_invalid():
    assert verdict([*MANY, FAILED]) == {"errors": "caution"}
    assert verdict([*MANY, *[FAILED] * 11]) == {"errors": "invalid"}


def test_a_cell_cut_short_is_invalid():
    assert verdict([*MANY, CANCELLED]) == {"cell_timeout": "invalid"}
    assert verdict([*MANY, UNSENT]) == {"cell_timeout": "invalid"}


def test_other_token_counts_than_asked():
    short = dataclasses.replace(FIRST, completion_tokens=2, token_s=[0.1, 0.2])
    assert verdict([*MANY, short]) == {"token_mismatch": "caution"}
    longer_prompt = [dataclasses.replace(s, prompt_tokens=11) for s in MANY]
    assert verdict(longer_prompt) == {"token_mismatch": "invalid"}
    assert verdict([dataclasses.replace(s, completion_tokens=None) for s in MANY]) == {"no_usage": "caution"}


def test_merges_are_told():
    assert verdict([dataclasses.replace(s, merged_events=1) for s in MANY]) == {"merged_reads": "caution"}
    two_in_one = [dataclasses.replace(s, token_s=[0.1, 0.4]) for s in MANY]
    assert verdict(two_in_one) == {"merged_tokens": "caution"}


def test_prefix_cache_hits_beyond_the_shared_prefix():
    assert verdict(MANY, prefix_cache_hit_rate=0.2) == {"prefix_cache_hits": "caution"}
    assert verdict(MANY, prefix_cache_hit_rate=0.2, expected_hit_rate=0.25) == {}
