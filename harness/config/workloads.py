"""The schema of what is timed: scenarios, the load points that they are sent at, and the GEMM study."""

from dataclasses import dataclass, field
from typing import Any

from harness.config import MISSING

GENERATED, VERBATIM = "generated", "verbatim"  # values of a scenario's `send` ...
COMPLETIONS, CHAT = "completions", "chat"  # ... and of its `api`


@dataclass
class Spread:
    """Lengths around the scenario's token count, which is their mean; drawn per request, the same for all variants."""

    kind: str = "fixed"  # fixed | uniform | normal | lognormal
    cv: float = 0.0  # coefficient of variation: standard deviation / mean
    min: int = 1  # shortest length drawn
    max: int | None = None  # longest length drawn; null: no limit


@dataclass
class Scenario:
    """A workload. The token counts are in its name: chat_512_256 is 512 prompt and 256 generated tokens."""

    prompt_tokens: int = MISSING  # exact; a mean where prompt_spread has a cv
    output_tokens: int = MISSING  # generated to this length; a mean likewise
    prompt_spread: Spread = field(default_factory=Spread)
    output_spread: Spread = field(default_factory=Spread)
    text: str = "prose"  # a corpus of text/corpora.py: prose | code | chat | hub:DATASET, or a text file
    send_as: str = "ids"  # ids: token ids; text: text that the tokenizer turns into exactly so many tokens
    send: str = "generated"  # generated: prompts of prompt_tokens, made of the text; verbatim: the messages or prompts
    # of the file `text` (.jsonl, .json) as they are, answers bounded by output_tokens or by the file's own answers
    api: str | None = None  # completions | chat; null: completions, and for verbatim messages chat
    shared_prefix_tokens: int = 0  # the first tokens of every prompt are the same (RAG system prompt)
    turns: int = 1  # above 1: every request is a conversation, whose next turn resends all that was said
    turn_tokens: int | None = None  # tokens of each later user message; null: prompt_tokens
    think_s: float = 0.0  # from the end of an answer to the user's next message
    rates_rps: list[float] | None = None  # the rate ladder of this scenario; null: load.rates_rps
    slo: dict[str, Any] = field(default_factory=dict)  # {itl_ms_p99: 50, ttft_ms_p99: 1000}: ttft_ms, itl_ms, tpot_ms,
    # e2e_ms (at most) and tok_per_s_per_user (at least), each with _mean or _pN; or of each request, and the share that
    # must meet them: {ttft_ms: 1000, tpot_ms: 50, goodput: 0.99}
    tiers: dict[str, dict[str, Any]] = field(default_factory=dict)  # further SLOs that are read from the same
    # measurement: {interactive: {tpot_ms_p99: 30}, batch: {e2e_ms_p99: 60000}}


@dataclass
class CapacitySearch:
    """The search for the highest request rate that meets a scenario's SLO (loadgen/capacity.py)."""

    probes: int = 0  # at most so many measurements; 0 leaves the profile out
    requests: int = 200  # of each probe, at least ...
    duration_s: float = 60.0  # ... and at least so long; up to three times that near the estimate
    min_rps: float = 0.1  # lower bound of the search
    max_rps: float = 100.0  # upper bound: a capacity above it is reported as a bound
    precision: float = 0.03  # half width of the 90 % interval, relative, at which the search ends early


@dataclass
class LoadPoints:
    """Which load profiles every scenario is measured at, and for how long. An empty value leaves a profile out."""

    single_stream_requests: int = 16  # one request at a time
    throughput_requests: int = 128  # all at once
    concurrencies: list[int] = field(default_factory=list)  # closed loop: so many requests in flight
    concurrency_requests: int = 128  # of each of them
    rates_rps: list[float] = field(default_factory=lambda: [1.0, 2.0, 4.0])  # open loop: the rate ladder
    arrivals: str = "poisson"  # how the ladder's requests arrive: poisson | constant | gamma
    burstiness: float = 1.0  # of gamma arrivals, its shape: 1 is Poisson, below 1 is burstier (vLLM's definition)
    ramp_rps: list[float] = field(default_factory=list)  # [from, to]: a rate that rises evenly over duration_s
    trace: str | None = None  # a file of arrivals to replay: Azure-style .csv, Mooncake-style .jsonl
    trace_unit: str = "auto"  # of its numeric timestamps: auto | s | ms | us | ns; auto: the format's, if plausible
    trace_speed: float = 1.0  # 2: twice as fast
    capacity: CapacitySearch = field(default_factory=CapacitySearch)
    duration_s: float = 60.0  # arrivals of one rate are drawn over this time ...
    min_requests: int = 32  # ... and never fewer
    max_requests: int = 2000  # ... nor more than this
    repeats: int = 1  # of every load cell, each with other prompts and arrivals; 2 or more give intervals; where a CPU
    # emulates the scheme, its speed is measured once
    rate_repeats: int | None = None  # of each rate of the rate ladder; null: as many as of the other load cells
    retries: int = 2  # an invalid cell is measured again at the end of its session, at most so many times in a run
    warmup_requests: int = 4  # sent before a session's first load cell, not measured
    request_timeout_s: float = 600.0  # a request that takes longer has failed
    cell_timeout_s: float = 1800.0  # a cell is bounded in time whatever the server does
    workers: int = 1  # client processes; python -m harness.selftest says what one can do on this machine


@dataclass
class Gemm:
    """The GEMM study (harness/gemm): products of the linear layers, timed alone. No batch sizes: no such study."""

    batch_sizes: list[int] = field(default_factory=list)  # tokens of a step
    # the linear layers whose products are timed
    layers: list[str] = field(default_factory=lambda: ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"])
    tensor_parallel: int = 1  # the shapes are one GPU's share
    repeats: int = 9  # rounds over all variants in turn; from 6 on, a ratio has an interval
    min_time_ms: float = 20.0  # a round calls a kernel for at least so long
    max_point_s: float = 20.0  # of a kernel at a batch size: fewer rounds, and none where two would take longer
