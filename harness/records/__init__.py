"""What is stored: one record a cell, written once, never changed. Everything after the store is a function of it.

A record is a JSON object; beside it lie its rows as JSON lines, one an item (accuracy) or a request (load).

Record keys: `schema`, `cell` (see cell.py: kind, variant, suite | scenario, point | layer, repeat, key),
`fingerprint`, `inputs` (what was fingerprinted), `result`, `flags`, `engine` (Engine facts: kind, version, command,
log, and what its log names: schemes, kernels, attention, kv_cache_dtype, quantization; see vllm_log.py), `usage`
({requests, prompt_tokens, completion_tokens} that the server answered and counted), `cost` (where its tokens have a
price: {amount, currency, per_million_prompt_tokens, per_million_completion_tokens, date, source}), `host` (machine
facts), `telemetry`, `started_at` (ISO 8601, UTC), `duration_s`, `harness` (version). Since schema 2 `files` ({name of a
file beside the record: {"count": rows, "blake3": digest of its bytes}}) and, at the end, `blake3` (stored_json.py).

`result` of an accuracy or judge cell: AccuracyResult (accuracy_result.py); its rows: Item, and TextWindow of the suite
`perplexity` (item.py).

`result` of a load cell is flat: names carry their unit, `load/metrics.py` has the formulas. What there is no data for
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
                    aiperf_output_tok_per_s: by their definitions, see load/peers.py
Request rows: {"index", "turn", "prompt_tokens", "output_tokens" (asked), "intended_s", "sent_s", "token_s": [receive
    times], "completion_tokens" (usage), "connect_s", "end_s", "error": None | {"kind", "message"}}; seconds since the
    cell's start. A failed request's latency is end_s - intended_s.

`telemetry`, only where NVML told something of the server's GPUs during the cell (telemetry/summary.py has the formulas,
what a card does not tell is None): window_s [start, end] in seconds since the rows' time zero, interval_s, energy_j of
    all GPUs together; of a load cell energy_j_per_output_token, energy_j_per_token; foreign_processes [{"pid", "name",
    "bytes"}]; gpus [{"index", "uuid", "name", "mig_instance", "memory_bytes", "power_limit_w", "default_power_limit_w",
    "samples", "gap_s_max" (largest between two), "energy_j", "energy_from": counter | power, "power_w_mean",
    "power_w_max", "sm_mhz_median", "sm_mhz_min", "sm_mhz_limit", "memory_mhz_median", "memory_mhz_limit",
    "memory_used_bytes_max", "utilization_mean", "temperature_c_max", "busy_samples", "throttle": {reason: share}}]
Its samples lie beside the rows, telemetry.jsonl.gz: {"t_s", "device": position in gpus, "power_w", "energy_j" (the
    counter), "sm_mhz", "memory_mhz", "memory_used_bytes", "utilization", "temperature_c", "reasons"}.

`result` of a load cell of the profile `capacity` (`load/capacity.py`):
    capacity_rps            the highest rate that meets the SLO, or what is known of it
    capacity_rps_low, capacity_rps_high     90 % interval; None: no bound on that side
    capacity_status         resolved | not_reached (capacity_rps is a lower bound) | below_minimum (capacity_rps_high is
                            an upper bound) | unresolved (the interval is wider than was asked)
    capacity_limited_by     ttft | itl
    slo, burst_rps  the SLO that was searched for; the rate of a first burst, which the search starts from
    probes          [{"rate_rps", "achieved_rps", "requests", "ratio" (largest p99 / limit),
                    "ttft_ms_p99", "itl_ms_p99", "ttft_share_beyond", "itl_share_beyond" (of values, beyond the
                    limit), "valid"}, ...], None for infinite; the request rows then have "probe" and "rate_rps" as well

`result` of a gemm cell (harness/gemm): {"layer", "n", "k" (outputs and inputs of one GPU's share), "count" (in the
model), "tensor_parallel", "format" and "against" (number formats, the variant's and the baseline's), "kernel" (the
engine's), "absent": [{"kernel", "batch" where it is of one, "reason"}], "roofline": None or {"name", "source",
"bandwidth" bytes/s, "peak" {format: FLOP/s}}}.
Product rows: {"batch", "kernel", "role": engine | vendor, "note", "times_s": [seconds a call, of each round],
    "baseline_times_s": [the same of the baseline's kernel, in the same rounds], "calls" (of a round), "clock", "copies"
    (of the weights), "error" (relative, of the float64 product; None: not finite), "bound", "flops", "bytes" (a call)}
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.records.flag import Flag

SCHEMA = 2  # 2: digests (see store.py); 1: none


@dataclass(frozen=True)
class Damage:
    """A stored file or cell that is not as it was written."""

    path: str  # within the results folder
    reason: str

    @property
    def left_out(self) -> bool:
        """Whether readers leave it out; of sweep.json and spent.jsonl they use what can be read."""
        return self.path.startswith(("cells/", "failures/"))

    def __str__(self) -> str:
        return f"{self.path} is damaged ({self.reason})"


@dataclass(frozen=True)
class Window:
    """When a server was at work for a cell, in seconds since `zero_s`: the rows' time zero, on CLOCK_MONOTONIC."""

    zero_s: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Outcome:
    """What measuring a cell gives."""

    result: dict[str, Any]
    rows: Iterable[dict[str, Any]]  # gone through once
    flags: list[Flag]
    window: Window | None = None  # None: from the cell's start to its end
