import dataclasses
import json
import os
import subprocess

import numpy as np
import pytest

from harness.config.slo import Slo
from harness.loadgen.client.trace import Asked, Failure, Trace
from harness.loadgen.metrics import served_rps, summarize, window
from harness.loadgen.samples import row, sample
from harness.records.load_result import LoadResult
from harness.records.point import LoadPoint
from tests.unit.load.samples import made, steady_cell

# Two requests, by hand: meant for 0 s and 1 s.
FIRST = made(0, 0.0, 0.002, [0.1, 0.2, 0.4], connect_s=0.001)
SECOND = made(1, 1.0, 1.010, [1.5, 1.6, 2.0])
FAILED = made(2, 1.5, 1.501, [1.65], completion_tokens=None, error=Failure("reset", "gone"))
CANCELLED = dataclasses.replace(FAILED, index=3, error=Failure("cancelled", "time"))
UNSENT = made(4, 3.0, None, [], completion_tokens=None)
ALL_AT_ONCE = LoadPoint("throughput", None, 2)
ONE_AT_A_TIME = LoadPoint("single_stream", None, 2, concurrency=1)


def at_rate(rate_rps, requests=2):
    return LoadPoint("server", rate_rps, requests)


def summary(samples, point=ALL_AT_ONCE, slo=None):
    return summarize(samples, point=point, slo=slo or Slo.of()).to_json()


def test_latencies_of_two_requests():
    r = summary([FIRST, SECOND])
    assert r["ttft_ms_mean"] == pytest.approx(300.0)
    assert r["ttft_ms_p50"] == pytest.approx(300.0)
    assert r["ttft_ms_p90"] == pytest.approx(460.0)  # 100 + 0.9 * 400
    assert r["ttft_from_send_ms_mean"] == pytest.approx((98 + 490) / 2)
    assert r["e2e_ms_mean"] == pytest.approx((400 + 1000) / 2)
    assert r["e2e_from_send_ms_mean"] == pytest.approx((398 + 990) / 2)
    assert r["itl_ms_mean"] == pytest.approx((100 + 200 + 100 + 400) / 4)
    assert r["itl_ms_p50"] == pytest.approx(150.0)
    assert r["itl_ms_p99"] == pytest.approx(394.0)  # 200 + 0.97 * 200
    assert r["itl_request_ms_p50"] == pytest.approx((150 + 250) / 2)
    assert r["tpot_ms_mean"] == pytest.approx((300 / 2 + 500 / 2) / 2)
    assert r["send_lag_ms_p50"] == pytest.approx((1 + 10) / 2)  # without the millisecond of connecting


def test_rates_over_the_whole_duration():
    r = summary([FIRST, SECOND], at_rate(2.0))
    assert (r["window"], r["window_s"]) == ("whole", (0.0, 2.0))
    assert r["duration_s"] == pytest.approx(2.0)
    assert r["achieved_rps"] == pytest.approx(1.0)
    assert r["offered_rps"] == 2.0
    assert r["output_tok_per_s"] == pytest.approx(3.0)
    assert r["total_tok_per_s"] == pytest.approx(13.0)
    assert (r["prompt_tokens"], r["completion_tokens"]) == (20, 6)


def test_the_steady_window_leaves_out_ramp_and_drain():
    """One request a second for 100 s, each 10 tokens over 10 s: 10 tok/s while ten are in flight."""
    r = summary(steady_cell(rate_rps=1.0, requests=100, tokens=10, gap_s=1.0), at_rate(1.0))
    assert r["window"] == "steady"
    assert r["window_s"] == (10.0, 99.0)  # the population has filled after one E2E; the last send is at 99 s
    assert r["output_tok_per_s"] == pytest.approx(10.0, rel=0.02)
    assert r["achieved_rps"] == pytest.approx(1.0, rel=0.02)
    assert r["vllm_output_tok_per_s"] == pytest.approx(1000 / 109)  # over ramp and drain
    assert r["total_tok_per_s"] == pytest.approx(20.0, rel=0.02)  # ten prompt tokens a request


def test_only_a_constant_rate_and_a_closed_loop_have_a_steady_window():
    samples = steady_cell(rate_rps=1.0, requests=100, tokens=10, gap_s=1.0)
    points = {
        "steady": [at_rate(1.0), LoadPoint("concurrency", None, 100, concurrency=10)],
        "whole": [
            ALL_AT_ONCE,
            ONE_AT_A_TIME,
            LoadPoint("ramp", 1.0, 100, ramp_rps=(0.5, 1.5)),
            LoadPoint("trace", 1.0, 100, trace_sha256="ab"),
        ],
    }
    for kind, some in points.items():
        for point in some:
            assert window(samples, point).kind == kind, point.profile


def test_a_window_too_short_or_too_empty_is_the_whole():
    long_answers = steady_cell(rate_rps=1.0, requests=20, tokens=10, gap_s=2.0)  # E2E 20 s, arrivals end at 19 s
    assert window(long_answers, at_rate(1.0)).kind == "whole"
    few_tokens = steady_cell(rate_rps=1.0, requests=40, tokens=2, gap_s=1.0)
    assert window(few_tokens, at_rate(1.0)).kind == "whole"


def test_goodput_asks_every_request_for_the_limits():
    samples = steady_cell(rate_rps=1.0, requests=100, tokens=10, gap_s=1.0)
    stalled = made(0, 0.0, 0.0, [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 14.0])  # its TPOT is 1.44 s, one gap 5 s
    slo = Slo.of(ttft_ms_p99=1500.0, itl_ms_p99=1500.0)
    r = summary([stalled, *samples[1:]], slo=slo)
    assert r["goodput_share"] == pytest.approx(0.99)
    assert r["goodput_rps"] == pytest.approx(99 / 109)
    assert r["vllm_goodput_rps"] == pytest.approx(100 / 109)
    failed = dataclasses.replace(FAILED, index=100)
    assert summary([*samples, failed], slo=slo)["goodput_share"] == pytest.approx(100 / 101)
    assert summary(samples)["goodput_rps"] is None
    assert summary(samples, slo=Slo.of(ttft_ms_p99=999.0))["goodput_share"] == 0.0


def test_the_books_balance_and_failures_stay_out_of_the_figures():
    r = summary([FIRST, SECOND, FAILED, CANCELLED, UNSENT])
    assert r["requests_sent"] == 4
    assert r["requests_sent"] == r["requests_completed"] + r["requests_failed"] + r["requests_cancelled"]
    books = [r[f"requests_{fate}"] for fate in ("completed", "failed", "cancelled", "unsent")]
    assert books == [2, 1, 1, 1]
    assert r["errors"] == {"reset": 1}
    assert r["ttft_ms_mean"] == pytest.approx(300.0)
    assert r["offered_rps"] is None


def test_conversations_are_counted_as_they_are_offered():
    second_turn = made(1, 0.5, 0.5, [0.7, 0.8, 0.9], turn=1)
    other = made(2, 1.0, 1.0, [1.5, 1.6, 2.0])
    r = summary([FIRST, second_turn, other], at_rate(2.0))
    assert r["achieved_rps"] == pytest.approx(2 / 2.0)
    assert r["vllm_request_rps"] == pytest.approx(3 / 2.0)
    assert r["arrival_span_s"] == pytest.approx(1.0)
    assert r["ttft_ms_p50"] == pytest.approx(200.0)  # of 100, 200 from when its turn came, 500


def test_turns_after_a_failed_one_are_dropped_and_not_late():
    never = made(1, 0.0, None, [], turn=1, completion_tokens=None)
    r = summary([dataclasses.replace(FAILED, index=0), never, SECOND])
    assert (r["requests_unsent"], r["turns_dropped"]) == (1, 1)
    assert summary([FIRST, never])["turns_dropped"] == 0


def test_one_token_has_no_gap_and_no_tpot():
    r = summary([made(0, 0.0, 0.0, [0.1])])
    assert (r["itl_ms_p50"], r["itl_request_ms_p50"], r["tpot_ms_mean"]) == (None, None, None)
    assert r["e2e_ms_p50"] == pytest.approx(100.0)


def test_several_tokens_in_an_event_count_by_usage():
    r = summary([dataclasses.replace(FIRST, completion_tokens=7)])
    assert r["tpot_ms_mean"] == pytest.approx(300 / 6)
    assert r["itl_ms_mean"] == pytest.approx(150.0)
    assert r["output_tok_per_s"] == pytest.approx(7 / 0.4)


def test_nothing_completed_gives_no_figures_and_no_crash():
    r = summary([FAILED, UNSENT], at_rate(1.0), Slo.of(ttft_ms_p99=100.0))
    assert (r["ttft_ms_p50"], r["output_tok_per_s"], r["timestamps"], r["window"]) == (None, None, None, None)


def test_result_has_the_keys_that_records_promise():
    r = summary([FIRST, SECOND], at_rate(2.0))
    for name in ("ttft_ms", "itl_ms", "itl_request_ms", "tpot_ms", "e2e_ms", "ttft_from_send_ms", "vllm_ttft_ms"):
        assert {f"{name}_{s}" for s in ("mean", "p50", "p90", "p95", "p99")} <= r.keys()
    promised = "offered_rps achieved_rps output_tok_per_s total_tok_per_s duration_s requests_sent requests_completed"
    promised += " requests_failed requests_cancelled send_lag_ms_p99 prompt_tokens completion_tokens errors"
    assert set(promised.split()) <= r.keys()
    assert LoadResult.from_json(json.loads(json.dumps(r))).to_json() == r


def test_rows_hold_the_raw_columns():
    assert row(FIRST)["token_s"] == [0.1, 0.2, 0.4]
    assert row(FAILED)["error"] == {"kind": "reset", "message": "gone"}
    assert row(UNSENT)["sent_s"] is None
    assert {"index", "prompt_tokens", "output_tokens", "intended_s", "sent_s", "completion_tokens"} <= row(FIRST).keys()
    json.dumps([row(s) for s in (FIRST, FAILED, UNSENT)])


def test_a_sample_is_what_the_trace_says():
    chunk = b'data: {"choices": [{"text": "a"}]}\n\n'
    last = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}\n\ndata: [DONE]\n\n'
    trace = Trace(3, 1.0, 1.5, 0.1, [(2.0, chunk), (2.5, chunk), (2.6, last)], 2.7, 200)
    s = sample(trace, Asked(5, 2, turn=1))
    assert s.completed and s.token_s.tolist() == [2.0, 2.5]
    assert (s.input_tokens, s.output_tokens, s.asked.turn) == (5, 2, 1)
    broken = sample(Trace(4, 1.0, error=Failure("no_token_ids", "none")), Asked(5, 2, turn=2))
    assert not broken.completed and broken.error.kind == "no_token_ids"


def test_the_peers_columns_count_from_when_the_http_client_got_the_request():
    r = summary([FIRST, SECOND])
    assert r["vllm_ttft_ms_mean"] == pytest.approx((99 + 490) / 2)  # connecting is in it, waiting to be sent is not
    assert r["aiperf_request_latency_ms_mean"] == pytest.approx((399 + 990) / 2)
    assert r["aiperf_itl_ms_mean"] == pytest.approx((150 + 250) / 2)
    assert r["aiperf_output_tok_per_s"] == pytest.approx(6 / (2.0 - 0.001))
    assert r["vllm_output_tok_per_s"] == pytest.approx(6 / 2.0)


VLLM_PYTHON = os.environ.get("HARNESS_VLLM_PYTHON", "")
VLLM_SCRIPT = """
import json, sys
from vllm.benchmarks.lib.endpoint_request_func import RequestFuncOutput
from vllm.benchmarks.serve import calculate_metrics
said = json.load(sys.stdin)
outputs = [
    RequestFuncOutput(success=True, latency=t[-1] - start, output_tokens=len(t), ttft=t[0] - start, prompt_len=10,
                      itl=[b - a for a, b in zip(t, t[1:])], start_time=start)
    for start, t in said["requests"]
]
m, _ = calculate_metrics([None] * len(outputs), outputs, said["duration_s"], None, [50, 99], said["goodput"])
found = {"request_rps": m.request_throughput, "output_tok_per_s": m.output_throughput,
         "total_tok_per_s": m.total_token_throughput, "goodput_rps": m.request_goodput}
for name in ("ttft", "tpot", "itl", "e2el"):
    found[name + "_ms_mean"] = getattr(m, f"mean_{name}_ms")
    found |= {f"{name}_ms_p{p:g}": v for p, v in getattr(m, f"percentiles_{name}_ms")}
print("RESULT" + json.dumps({k: float(v) for k, v in found.items()}))
"""


@pytest.mark.skipif(not VLLM_PYTHON, reason="HARNESS_VLLM_PYTHON is not the python of an environment with vLLM")
def test_vllm_itself_computes_the_same_figures():
    rng = np.random.default_rng(1)
    samples = []
    for index in range(50):
        start = index * 0.1
        times = start + np.cumsum(rng.exponential(0.03, size=int(rng.integers(1, 40))))
        samples.append(made(index, start, start, times.tolist()))
    said = {
        "requests": [(s.sent_s, s.token_s.tolist()) for s in samples],
        "duration_s": max(s.end_s for s in samples),
        "goodput": {"ttft": 50.0, "tpot": 30.0},
    }
    ran = subprocess.run(
        [VLLM_PYTHON, "-c", VLLM_SCRIPT], input=json.dumps(said), capture_output=True, text=True, timeout=200
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    theirs = json.loads(ran.stdout.partition("RESULT")[2])
    ours = summary(samples, slo=Slo.of(ttft_ms_p99=50.0, itl_ms_p99=30.0))
    assert {name: ours[f"vllm_{name}"] for name in theirs} == pytest.approx(theirs)


def queue(rate_rps, capacity_rps, seconds, service_s, failed=0):
    """A server that lets one request in every 1 / capacity seconds and answers it in `service_s`, at an even load."""
    n = round(rate_rps * seconds)
    arrive = np.arange(n) / rate_rps
    leave = np.maximum.accumulate(np.maximum(arrive, np.arange(n) / capacity_rps)) + service_s
    error = Failure("http_503", "")
    return [
        made(index, float(at), float(at), [float(left)], error=error if index < failed else None)
        for index, (at, left) in enumerate(zip(arrive, leave, strict=True))
    ]


@pytest.mark.parametrize("service_s", [0.5, 5.0])
def test_a_run_that_keeps_up_serves_what_is_offered_although_it_drains(service_s):
    samples = queue(4.0, 6.0, 10, service_s)
    assert len(samples) / summarize(samples, point=LoadPoint("server", 4.0, 40), slo=Slo.of()).duration_s < 3.95
    assert served_rps(samples, LoadPoint("server", 4.0, 40)) == pytest.approx(4.0)


@pytest.mark.parametrize("capacity_rps", [1.0, 2.0, 3.0])
def test_a_run_that_falls_behind_serves_what_the_server_can(capacity_rps):
    samples = queue(4.0, capacity_rps, 20, 5.0)
    assert served_rps(samples, LoadPoint("server", 4.0, 80)) == pytest.approx(capacity_rps, rel=0.03)


def test_failed_requests_are_not_served():
    assert served_rps(queue(4.0, 6.0, 10, 1.0, failed=20), LoadPoint("server", 4.0, 40)) == pytest.approx(2.0, rel=0.03)


def test_only_a_constant_rate_is_served():
    samples = queue(4.0, 6.0, 10, 1.0)
    assert served_rps(samples, LoadPoint("throughput", None, 40)) is None
    assert served_rps(samples, LoadPoint("ramp", 4.0, 40, ramp_rps=(2.0, 6.0))) is None
