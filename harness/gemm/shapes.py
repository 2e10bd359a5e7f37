"""The shapes of a model's linear layers, from its config.json, as vLLM shards and fuses them.

qkv_proj and gate_up_proj are one product each (vLLM's QKVParallelLinear and MergedColumnParallelLinear). With tensor
parallelism each GPU has a share: of the outputs for qkv_proj and gate_up_proj, of the inputs for o_proj and down_proj;
where there are fewer KV heads than GPUs, each has a copy of one.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints import source
from harness.checkpoints.file_digests import Digests
from harness.checkpoints.model_config import Decoder, ModelConfig, read_file
from harness.checkpoints.sources import Directory, Hub
from harness.config.workloads import Gemm
from harness.engines.environment import EnvironmentConfig
from harness.errors import HarnessError
from harness.records.fields import Facts

LAYERS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")  # lm_head stays in 16 bits in every scheme
NEEDED = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")


@dataclass(frozen=True)
class Layer:
    """`n` outputs and `k` inputs of one GPU's share; `count`: how often a step runs it."""

    name: str
    n: int
    k: int
    count: int


def layers(model: Decoder, names: list[str], tensor_parallel: int = 1) -> list[Layer]:
    """Return the linear layers of any Llama-like decoder (gated MLP).

    Raises HarnessError for a model that has other products.
    """
    kind = model.model_type or "unknown"
    if model.experts:
        key, experts = model.experts
        raise HarnessError(
            f"its config.json ({kind}) has {key}={experts}: a mixture of experts multiplies in grouped "
            "products, which this study does not time; name a dense model"
        )
    hidden, inner = model.hidden_size, model.intermediate_size
    heads, count = model.num_attention_heads, model.num_hidden_layers
    if not (hidden and inner and heads and count):
        needed = zip(NEEDED, (hidden, inner, heads, count), strict=True)
        lacking = ", ".join(key for key, size in needed if not size)
        raise HarnessError(f"its config.json ({kind}) has no {lacking}: not a Llama-like decoder")
    kv_heads = model.num_key_value_heads or heads
    head = model.head_dim or hidden // heads
    parts = tensor_parallel
    for what, size in (("num_attention_heads", heads), ("intermediate_size", inner)):
        if size % parts:
            raise HarnessError(f"gemm.tensor_parallel={parts} does not divide its {what}={size}")
    if kv_heads % parts and parts % kv_heads:
        raise HarnessError(f"gemm.tensor_parallel={parts} does not go with its num_key_value_heads={kv_heads}")
    own_heads, own_kv = heads // parts, max(1, kv_heads // parts)
    known = {
        "qkv_proj": ((own_heads + 2 * own_kv) * head, hidden),
        "o_proj": (hidden, own_heads * head),
        "gate_up_proj": (2 * inner // parts, hidden),
        "down_proj": (hidden, inner // parts),
    }
    return [Layer(name, *known[name], count) for name in names]


def config_identity(reference: str, compression: EnvironmentConfig, digests: Digests | None = None) -> Facts:
    """What decides the shapes."""
    from harness.checkpoints.prepare import identity  # numpy: compose wants LAYERS alone

    origin = source(reference)
    if isinstance(origin, Directory):
        file = origin.path / "config.json"
        return {"config": hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else f"missing {file}"}
    return identity(reference, None, compression, digests)


def problems(reference: str) -> list[str]:
    """Why config.json cannot be had; a directory needs no weights for this."""
    origin = source(reference)
    if not isinstance(origin, Directory):
        return origin.problems()
    if not (origin.path / "config.json").is_file():
        return [f"model {reference}: no config.json in {origin.path}; name a Hugging Face checkpoint, weights or not"]
    return []


def model_layers(reference: str, location: str, settings: Gemm) -> list[Layer]:
    """Raises HarnessError, with the model's name."""
    try:
        return layers(read_config(reference, location).decoder, settings.layers, settings.tensor_parallel)
    except HarnessError as error:
        raise HarnessError(f"model {reference}: {error}") from None


def read_config(reference: str, location: str) -> ModelConfig:
    """`location`: a directory, else a hub id whose config.json is fetched. Raises HarnessError."""
    origin = source(reference)
    file = Path(location) / "config.json"
    if isinstance(origin, Hub) and not file.is_file():
        from harness.checkpoints.hub import fetch_config

        file = fetch_config(origin.repository, origin.commit)
    try:
        return read_file(file)
    except (OSError, ValueError) as error:
        raise HarnessError(f"{file} cannot be read ({error}); name a Hugging Face checkpoint") from None
