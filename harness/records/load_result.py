"""`result` of a load cell, flat: names carry their unit, loadgen/metrics.py has formulas. None: no data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from harness.records.fields import Stored, inline, rest

Number = float | None


@dataclass(frozen=True)
class Spread(Stored):
    """How a latency is spread over requests or tokens: mean and percentiles, in the unit of its name."""

    mean: Number = None
    p50: Number = None
    p90: Number = None
    p95: Number = None
    p99: Number = None


@dataclass(frozen=True, kw_only=True)
class VllmFigures(Stored):
    """By the definitions of `vllm bench serve`, see loadgen/peers.py."""

    ttft_ms: Spread = inline(Spread(), "ttft_ms_")
    tpot_ms: Spread = inline(Spread(), "tpot_ms_")
    itl_ms: Spread = inline(Spread(), "itl_ms_")
    e2el_ms: Spread = inline(Spread(), "e2el_ms_")
    request_rps: Number = None
    output_tok_per_s: Number = None
    total_tok_per_s: Number = None
    goodput_rps: Number = None


@dataclass(frozen=True, kw_only=True)
class AiperfFigures(Stored):
    """By the definitions of AIPerf, see loadgen/peers.py."""

    ttft_ms: Spread = inline(Spread(), "ttft_ms_")
    itl_ms: Spread = inline(Spread(), "itl_ms_")
    request_latency_ms: Spread = inline(Spread(), "request_latency_ms_")
    request_rps: Number = None
    output_tok_per_s: Number = None


@dataclass(frozen=True, kw_only=True)
class ClientFigures(Stored):
    """How the client itself did, beside how late it sent."""

    event_loop_lag_ms_p99: Number = None
    event_loop_lag_ms_max: Number = None
    client_cpu_s: Number = None
    client_cpu_share_max: Number = None  # CPU / wall seconds of the busiest process
    client_workers: int | None = None
    connections_opened: int | None = None
    reads: int | None = None
    unasked_reads: int = 0  # of bytes that no request waited for
    clock_steps: int = 0  # of the system's clock
    clock_step_ms_max: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ServerFigures(Stored):
    """The server's own account, see loadgen/server_metrics.py; None: it does not export it."""

    prefix_cache_hit_rate: Number = None
    preemptions: Number = None
    server_generation_tokens: Number = None
    server_prompt_tokens: Number = None
    server_requests_succeeded: Number = None
    draft_acceptance_rate: Number = None  # of speculative decoding, 0 to 1
    tokens_per_draft: Number = None
    drafted_share: Number = None  # of the generated tokens
    server_running_max: Number = None
    server_waiting_max: Number = None
    server_kv_cache_use_max: Number = None  # 0 to 1
    server_series: tuple[tuple[Number, ...], ...] = ()  # (t_s, running, waiting, kv_cache_use), about every second
    server_metrics_dropped: tuple[str, ...] = ()  # names of metrics with values that are no numbers


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Metrics(Stored):
    """A result whose numbers are asked for by name."""

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """The numbers that are known, by their stored names: ``itl_ms_p99``."""
        return {name: value for name, value in self.to_json().items() if _number(value)}


@dataclass(frozen=True, kw_only=True)
class LoadResult(Metrics):
    # from the intended send; ITL pooled over the gaps of all requests, or the mean gap of each request
    ttft_ms: Spread = inline(Spread(), "ttft_ms_")
    itl_ms: Spread = inline(Spread(), "itl_ms_")
    itl_request_ms: Spread = inline(Spread(), "itl_request_ms_")
    tpot_ms: Spread = inline(Spread(), "tpot_ms_")
    e2e_ms: Spread = inline(Spread(), "e2e_ms_")
    ttft_from_send_ms: Spread = inline(Spread(), "ttft_from_send_ms_")  # from the actual send
    e2e_from_send_ms: Spread = inline(Spread(), "e2e_from_send_ms_")
    offered_rps: Number = None  # where the profile has a rate
    window: str | None = None  # steady | whole
    window_s: tuple[float, float] | None = None  # seconds since the cell's start
    achieved_rps: Number = None  # this and the next four: over the window
    output_tok_per_s: Number = None
    total_tok_per_s: Number = None
    goodput_rps: Number = None  # None without an SLO
    goodput_share: Number = None  # requests that met the SLO / requests sent
    served_rps: Number = None  # offered_rps, less where the server falls behind
    duration_s: Number = None  # first intended send to last token
    arrival_span_s: Number = None  # last minus first intended send
    # requests_sent = completed + failed + cancelled
    requests_sent: int = 0
    requests_completed: int = 0
    requests_failed: int = 0
    requests_cancelled: int = 0
    requests_unsent: int = 0
    turns_dropped: int = 0  # of the unsent: because their conversation broke off
    send_lag_ms_p50: Number = None
    send_lag_ms_p99: Number = None
    # of completed requests, by the server's usage: how long they came
    prompt_lengths: Spread = inline(Spread(), "prompt_length_tokens_", later=True)
    answer_lengths: Spread = inline(Spread(), "answer_length_tokens_", later=True)
    prompt_tokens: int = 0  # sums over completed requests
    completion_tokens: int = 0
    token_events: int = 0
    merged_events: int = 0
    timestamps: str | None = None  # kernel | user | mixed
    rejected_stamps: int = 0
    implausible: Mapping[str, int] = field(default_factory=dict)  # client/oddities.py: completed requests
    errors: Mapping[str, int] = field(default_factory=dict)  # by kind
    vllm: VllmFigures = inline(VllmFigures(), "vllm_")
    aiperf: AiperfFigures = inline(AiperfFigures(), "aiperf_")
    client: ClientFigures = inline(ClientFigures(), "")
    server: ServerFigures = inline(ServerFigures(), "")


@dataclass(frozen=True, kw_only=True)
class CapacityProbe(Stored):
    """One probe of a search. `readings`: of each limit its value and the share of values beyond it, {"itl_ms_p99",
    "itl_share_beyond", ...}; None for infinite."""

    rate_rps: float = 0.0
    achieved_rps: Number = None
    requests: int = 0
    ratio: Number = None  # the largest value / limit
    readings: Mapping[str, Number] = rest()
    valid: bool = True


@dataclass(frozen=True, kw_only=True)
class CapacityResult(Metrics):
    """`result` of a load cell of the profile `capacity`, see loadgen/capacity.py."""

    capacity_rps: Number = None  # the highest rate that meets the SLO, or what is known of it
    capacity_rps_low: Number = None  # 90 % interval; None: no bound on that side
    capacity_rps_high: Number = None
    # resolved | not_reached (capacity_rps is a lower bound) | below_minimum (capacity_rps_high is an upper bound) |
    # unresolved (the interval is wider than was asked)
    capacity_status: str = ""
    capacity_limited_by: str | None = None  # ttft | itl | goodput | another limit's key
    probes: tuple[CapacityProbe, ...] = ()
    slo: Mapping[str, Number] = field(default_factory=dict)  # that was searched for
    burst_rps: Number = None  # rate of a first burst, from which the search starts
