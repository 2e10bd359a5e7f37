"""A load cell's figures by two peers' definitions, so that they can be laid beside published ones.

Read from the sources of vLLM 0.32 (vllm/benchmarks/serve.py, lib/endpoint_request_func.py) and AIPerf 0.13
(aiperf/metrics/types/). Both count from t_0, when the request is handed to the HTTP client, so that opening a
connection is in and waiting for a late send is out. With token events at a_1 .. a_m and n tokens by the usage:

    vllm_ttft_ms    a_1 - t_0                   vllm_e2el_ms    a_m - t_0
    vllm_itl_ms     every a_(k+1) - a_k, pooled
    vllm_tpot_ms    (a_m - a_1) / (n - 1) of each request with n > 1
    vllm_request_rps, vllm_output_tok_per_s, vllm_total_tok_per_s
                    requests, sum of n, sum of (prompt tokens + n) / duration, which is from the start of the schedule
                    to the end of the last request, failed ones too: ramp and drain are in it
    vllm_goodput_rps    requests with a_1 - t_0 and TPOT (0 for one token) within the limits / duration: its `--goodput
                    ttft:.. tpot:.. e2el:..`, DistServe's definition
    aiperf_ttft_ms, aiperf_request_latency_ms    as vLLM's TTFT and E2EL
    aiperf_itl_ms   (request latency - TTFT) / (n - 1) of each request with n > 1: what others call TPOT
    aiperf_request_rps, aiperf_output_tok_per_s    requests, sum of n / duration, which is from the first t_0 to the
                    last token of a completed request

Where the peers differ from this harness in what a token or a failure is, the harness's judgement is used: vLLM takes
every chunk with a choice for a token, so on chat completions also the one that only announces the role and on some
servers an empty last one, and it takes a stream that breaks off or carries an error object after its first chunk for
a success. AIPerf counts tokens with its own tokenizer unless it is told to use the server's usage.
"""

from harness.config.slo import Slo
from harness.loadgen.samples import Sample
from harness.loadgen.spread import spread_ms
from harness.records.load_result import AiperfFigures, Spread, VllmFigures


def vllm_figures(samples: list[Sample], pooled_itl_ms: Spread, slo: Slo) -> VllmFigures:
    """`pooled_itl_ms`: the cell's itl_ms, which is vLLM's definition too."""
    completed = [s for s in samples if s.completed]
    ended = [s.end_s for s in samples if s.end_s is not None and s.sent_s is not None]
    seconds = max(ended, default=0.0) if completed else 0.0
    return VllmFigures(
        ttft_ms=spread_ms([_ttft_s(s) for s in completed]),
        tpot_ms=spread_ms([s.tpot_s for s in completed if s.output_tokens > 1]),
        itl_ms=pooled_itl_ms,
        e2el_ms=spread_ms([_latency_s(s) for s in completed]),
        request_rps=_per(len(completed), seconds),
        output_tok_per_s=_per(sum(s.output_tokens for s in completed), seconds),
        total_tok_per_s=_per(sum(s.input_tokens + s.output_tokens for s in completed), seconds),
        goodput_rps=_goodput_rps(completed, seconds, slo),
    )


def aiperf_figures(samples: list[Sample]) -> AiperfFigures:
    completed = [s for s in samples if s.completed]
    seconds = 0.0
    if completed:
        seconds = max(float(s.token_s[-1]) for s in completed) - min(_start_s(s) for s in completed)
    return AiperfFigures(
        ttft_ms=spread_ms([_ttft_s(s) for s in completed]),
        itl_ms=spread_ms([s.tpot_s for s in completed if s.output_tokens > 1]),
        request_latency_ms=spread_ms([_latency_s(s) for s in completed]),
        request_rps=_per(len(completed), seconds),
        output_tok_per_s=_per(sum(s.output_tokens for s in completed), seconds),
    )


def _start_s(s: Sample) -> float:
    assert s.sent_s is not None
    return s.sent_s - s.connect_s


def _ttft_s(s: Sample) -> float:
    return float(s.token_s[0]) - _start_s(s)


def _latency_s(s: Sample) -> float:
    return float(s.token_s[-1]) - _start_s(s)


def _goodput_rps(completed: list[Sample], seconds: float, slo: Slo) -> float | None:
    """`itl` is used for `tpot` where an SLO has no limit on TPOT."""
    limits = {limit.metric: limit.value for limit in slo.limits if limit.percent == 99} | dict(slo.each)
    of_peer = {
        "ttft": limits.get("ttft_ms"),
        "tpot": limits.get("tpot_ms", limits.get("itl_ms")),
        "e2el": limits.get("e2e_ms"),
    }
    if all(limit is None for limit in of_peer.values()):
        return None
    most_s = {name: float("inf") if ms is None else ms / 1e3 for name, ms in of_peer.items()}
    good = (
        _ttft_s(s) <= most_s["ttft"]
        and (s.output_tokens < 2 or s.tpot_s <= most_s["tpot"])
        and _latency_s(s) <= most_s["e2el"]
        for s in completed
    )
    return _per(sum(good), seconds)


def _per(count: int, seconds: float) -> float | None:
    return count / seconds if seconds > 0 else None
