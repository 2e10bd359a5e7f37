"""Names of the metrics of a load cell: the one table that the client writes and every reader selects from.

A latency is stored as its mean and percentiles over requests or tokens: ``itl_ms_p99``.

`result` of a load cell is flat: names carry their unit, `loadgen/metrics.py` has formulas. What there is no data for
is None. {..} is {mean,p50,p90,p95,p99}.
    latencies       ttft_ms_{..}, itl_ms_{..} (pooled), itl_request_ms_{..}, tpot_ms_{..}, e2e_ms_{..}: from the
                    intended send; ttft_from_send_ms_{..}, e2e_from_send_ms_{..}: from the actual one
    rates           offered_rps (None unless the profile has a rate), served_rps (less where the server falls behind),
                    and over the window achieved_rps, output_tok_per_s, total_tok_per_s, goodput_rps (None without an
                    SLO)
    window          steady | whole, with window_s [start, end] in seconds since the cell's start
    goodput_share   requests that met the SLO / requests sent
    time            duration_s (first intended send to last token), arrival_span_s (last minus first intended send)
    books           requests_sent = requests_completed + requests_failed + requests_cancelled; requests_unsent, of
                    which turns_dropped because their conversation broke off; errors {kind: count}; implausible
                    {what cannot be of one answer: completed requests}, see client/oddities.py
    tokens          prompt_tokens, completion_tokens (sums over completed requests), token_events, merged_events
    the client      send_lag_ms_p50, send_lag_ms_p99, event_loop_lag_ms_p99, event_loop_lag_ms_max, client_cpu_s,
                    client_cpu_share_max (CPU / wall seconds of the busiest process), client_workers,
                    connections_opened, reads, unasked_reads (of bytes that no request waited for), timestamps (kernel
                    | user | mixed), rejected_stamps, clock_steps, clock_step_ms_max (of the system's clock)
    the server      prefix_cache_hit_rate, preemptions, server_running_max, server_waiting_max, server_kv_cache_use_max
                    (0 to 1), server_generation_tokens, server_prompt_tokens, server_requests_succeeded, server_series
                    [[t_s, running, waiting, kv_cache_use], ...] about every second, server_metrics_dropped (names of
                    metrics with values that are no numbers); of speculative decoding
                    draft_acceptance_rate, drafted_share (0 to 1), tokens_per_draft
    peers           vllm_{ttft,tpot,itl,e2el}_ms_{..}, vllm_request_rps, vllm_output_tok_per_s, vllm_total_tok_per_s,
                    vllm_goodput_rps; aiperf_{ttft,itl,request_latency}_ms_{..}, aiperf_request_rps,
                    aiperf_output_tok_per_s: by their definitions, see loadgen/peers.py

`result` of a load cell of the profile `capacity` (`loadgen/capacity.py`):
    capacity_rps            the highest rate that meets the SLO, or what is known of it
    capacity_rps_low, capacity_rps_high     90 % interval; None: no bound on that side
    capacity_status         resolved | not_reached (capacity_rps is a lower bound) | below_minimum (capacity_rps_high is
                            an upper bound) | unresolved (the interval is wider than was asked)
    capacity_limited_by     ttft | itl | goodput | another limit's key
    slo, burst_rps  the SLO that was searched for; the rate of a first burst, which the search starts from
    probes          [{"rate_rps", "achieved_rps", "requests", "ratio" (largest p99 / limit),
                    "ttft_ms_p99", "itl_ms_p99", "ttft_share_beyond", "itl_share_beyond" (of values, beyond the
                    limit), "valid"}, ...], None for infinite; the request rows then have "probe" and "rate_rps" as well
"""

import functools
import re
import sys

PERCENTILES = (50, 90, 95, 99)
QUANTILES = tuple(f"p{percent}" for percent in PERCENTILES)
SPREAD = ("mean", *QUANTILES)  # of each latency
LATENCIES = ("ttft_ms", "itl_ms", "tpot_ms", "e2e_ms")
SHOWN_LATENCIES = ("itl_ms", "ttft_ms", "e2e_ms")  # TPOT is a request's mean ITL: one of the two is enough
RATES = ("output_tok_per_s", "total_tok_per_s", "achieved_rps")
SLACK = 1e-6  # of a share or a ratio, for the last digits of sums


def spread(latencies: tuple[str, ...], parts: tuple[str, ...] = SPREAD) -> tuple[str, ...]:
    """Return the metrics of these latencies: ``ttft_ms_mean``, ``ttft_ms_p50``, ..."""
    return tuple(f"{latency}_{part}" for latency in latencies for part in parts)


METRICS = (*spread(LATENCIES), *RATES)  # in tables, cells.csv and summary.json

_NEVER_NEGATIVE = re.compile(
    r"(?:(?:vllm|aiperf)_)?(?:ttft|itl|itl_request|tpot|e2e|e2el|ttft_from_send|e2e_from_send|request_latency)_ms_\w+|"
    r"\w+_rps|\w+_tok_per_s|requests_\w+|turns_dropped|token_events|merged_events|(?:prompt|completion)_tokens"
)
_SHARES = ("goodput_share", "prefix_cache_hit_rate", "server_kv_cache_use_max", "drafted_share")


@functools.cache
def highest(name: str) -> float | None:
    """Return the largest finite value that a number of a load cell may have; None for one without known limits."""
    if name in _SHARES:
        return 1 + SLACK
    return sys.float_info.max if _NEVER_NEGATIVE.fullmatch(name) else None
