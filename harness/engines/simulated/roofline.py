"""How long one engine step takes: the roofline model (Williams, Waterman, Patterson, CACM 52(4), 2009). Pure.

    step_s = overhead_s + max(bytes / (bandwidth * BANDWIDTH_EFFICIENCY), flops / (peak * efficiency))

Bytes: the weights once, and the keys and values of every token that is attended to. FLOPs: 2 a weight and token, and
4 * heads * head_dim a layer and attention pair. Hardware: NVIDIA data sheets (H100 SXM5, H200 SXM, A100 80GB SXM),
dense figures; 2:4 sparse tensor cores have twice the dense peak. An A100 has no FP8: as vLLM does there (Marlin), FP8
weights are computed in BF16.

The efficiencies are assumptions, chosen so that large GEMMs come out 1.9x (FP8) and 2.5x (2:4 sparse FP8) faster than
BF16 on Hopper, which is what the Sparse Llama study (Neural Magic, 2024) measured of its kernels.
"""

from dataclasses import dataclass
from functools import cached_property

from harness.engines.simulated.batching import Batch

BANDWIDTH_EFFICIENCY = 0.8  # of the data sheet's bandwidth
HBM_SHARE = 0.9  # that weights and KV cache may take, vLLM's gpu_memory_utilization
OVERHEAD_S = 1.0e-3  # a step: scheduling, kernel launches, sampling
SPARSE_PEAK = 2.0  # 2:4 over dense
KV_BYTES = 2  # BF16 keys and values, whatever the weights


@dataclass(frozen=True)
class Hardware:
    name: str
    bandwidth: float  # bytes/s of HBM
    memory: float  # bytes of HBM
    peak: dict[str, float]  # dense FLOP/s by type


@dataclass(frozen=True)
class Shape:
    """A Llama-style transformer: grouped-query attention, gated MLP, untied embeddings."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    max_model_len: int

    @cached_property
    def linear_weights(self) -> int:
        """Of the layers: what a scheme compresses."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @cached_property
    def head_weights(self) -> int:
        """Of the language-model head, which every scheme leaves in BF16. The embedding is looked up, not multiplied."""
        return self.hidden * self.vocabulary

    @cached_property
    def attention_flops_per_pair(self) -> int:
        return 4 * self.layers * self.heads * self.head_dim

    @cached_property
    def kv_bytes_per_token(self) -> int:
        return 2 * self.layers * self.kv_heads * self.head_dim * KV_BYTES


@dataclass(frozen=True)
class Scheme:
    name: str
    bits: float  # a weight takes in memory
    compute: str  # a key of Hardware.peak
    efficiency: float  # share of that peak (of the sparse peak, where sparse) that its GEMMs reach
    sparse: bool = False


HARDWARE = {
    "h100": Hardware("NVIDIA H100 SXM", 3.35e12, 80e9, {"bf16": 989.4e12, "fp8": 1978.9e12, "int8": 1978.9e12}),
    "h200": Hardware("NVIDIA H200 SXM", 4.8e12, 141e9, {"bf16": 989.4e12, "fp8": 1978.9e12, "int8": 1978.9e12}),
    "a100": Hardware("NVIDIA A100 80GB SXM", 2.039e12, 80e9, {"bf16": 312e12, "int8": 624e12}),
}

SHAPES = {
    "llama-3.1-8b": Shape("Llama 3.1 8B", 32, 4096, 14336, 32, 8, 128, 128256, 131072),
    "llama-3.1-70b": Shape("Llama 3.1 70B", 80, 8192, 28672, 64, 8, 128, 128256, 131072),
    "smollm2-135m": Shape("SmolLM2 135M", 30, 576, 1536, 9, 3, 64, 49152, 8192),
}

BF16_EFFICIENCY = 0.6
SCHEMES = {
    "bf16": Scheme("BF16", 16, "bf16", BF16_EFFICIENCY),
    "fp8": Scheme("FP8 W8A8", 8, "fp8", BF16_EFFICIENCY * 1.9 / 2),
    "int8": Scheme("INT8 W8A8", 8, "int8", BF16_EFFICIENCY * 1.9 / 2),
    # Half of the values, and two bits of metadata for each of them to say which half.
    "sparse_fp8": Scheme("2:4 sparse FP8 W8A8", (8 + 2) / 2, "fp8", BF16_EFFICIENCY * 2.5 / (2 * SPARSE_PEAK), True),
    # A 16-bit scale for each group of 128 weights; they are widened to BF16 in registers.
    "int4": Scheme("INT4 W4A16", 4 + 16 / 128, "bf16", BF16_EFFICIENCY),
}


@dataclass(frozen=True)
class Roofline:
    hardware: Hardware
    shape: Shape
    scheme: Scheme
    overhead_s: float = OVERHEAD_S

    @cached_property
    def weight_bytes(self) -> float:
        return self.shape.linear_weights * self.scheme.bits / 8 + self.shape.head_weights * 2

    @cached_property
    def kv_cache_tokens(self) -> int:
        """Tokens whose keys and values fit beside the weights; below 1, the model does not fit."""
        embedding = self.shape.head_weights * 2
        free = self.hardware.memory * HBM_SHARE - self.weight_bytes - embedding
        return int(free // self.shape.kv_bytes_per_token)

    @cached_property
    def bf16_flops_per_s(self) -> float:
        return self.hardware.peak["bf16"] * BF16_EFFICIENCY

    @cached_property
    def linear_flops_per_s(self) -> float:
        peak = self.hardware.peak
        if self.scheme.compute not in peak:
            return self.bf16_flops_per_s
        return peak[self.scheme.compute] * (SPARSE_PEAK if self.scheme.sparse else 1.0) * self.scheme.efficiency

    def step_s(self, batch: Batch) -> float:
        """Seconds; never less for more work."""
        shape = self.shape
        transferred = self.weight_bytes + shape.kv_bytes_per_token * batch.kv_tokens
        memory_s = transferred / (self.hardware.bandwidth * BANDWIDTH_EFFICIENCY)
        linear_s = 2 * shape.linear_weights * batch.tokens / self.linear_flops_per_s
        bf16 = shape.attention_flops_per_pair * batch.attention_pairs + 2 * shape.head_weights * batch.outputs
        return self.overhead_s + max(memory_s, linear_s + bf16 / self.bf16_flops_per_s)


def problems(hardware: str, scheme: str, shape: str) -> list[str]:
    """Why this hardware cannot run the scheme or hold the model."""
    found = []
    model = Roofline(HARDWARE[hardware], SHAPES[shape], SCHEMES[scheme])
    if model.scheme.sparse and model.scheme.compute not in model.hardware.peak:
        found.append(
            f"{model.hardware.name} has no kernels for {model.scheme.name}; set engine.hardware to h100 or h200"
        )
    if model.kv_cache_tokens < 1:
        found.append(
            f"{model.shape.name} in {model.scheme.name} takes {model.weight_bytes / 1e9:.0f} GB, and one "
            f"{model.hardware.name} has {model.hardware.memory / 1e9:.0f} GB; set engine.shape to a smaller model"
        )
    return found
