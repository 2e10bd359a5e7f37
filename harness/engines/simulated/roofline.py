"""How long one engine step takes: the roofline model (Williams, Waterman, Patterson, CACM 52(4), 2009). Pure.

    step_s   = overhead_s + max(bytes / (bandwidth * BANDWIDTH_EFFICIENCY), flops / (peak * efficiency)) + reduce_s
    bytes    = the weights that the step reads, once, and the keys and values of every token that is attended to
    flops    = 2 a weight and token, and 4 * heads * head_dim a layer and attention pair
    reduce_s = 2 * layers * (link_latency_s + 2 * (n - 1) / n * message / (link * LINK_EFFICIENCY)),
               message = tokens * hidden * 2 bytes: the ring all-reduces of Megatron-LM (Shoeybi et al., 2019) over n
               GPUs, one after attention and one after the MLP, in BF16, overlapped with nothing

Tensor parallelism over n GPUs divides weights and FLOPs by n, and keys and values by n up to the number of KV heads:
beyond it they are kept more than once. The GPUs are of one node, whose links join all of them. GPUs, schemes and
models: data_sheets.py, schemes.py, shapes.py, with their sources and assumptions.
"""

from dataclasses import dataclass
from functools import cached_property

from harness.engines.simulated.batching import Batch
from harness.engines.simulated.schemes import BF16_EFFICIENCY, SCHEMES, Scheme
from harness.engines.simulated.shapes import SHAPES, Shape
from harness.machine.data_sheets import HARDWARE, NODE_GPUS, Hardware

BANDWIDTH_EFFICIENCY = 0.8  # of the data sheet's bandwidth
LINK_EFFICIENCY = 0.8  # of the links'
HBM_SHARE = 0.9  # that weights and KV cache may take, vLLM's gpu_memory_utilization
OVERHEAD_S = 1.0e-3  # a step: scheduling, kernel launches, sampling
BF16_BYTES = 2

__all__ = ["HARDWARE", "SCHEMES", "SHAPES", "Roofline", "problems"]


@dataclass(frozen=True)
class Roofline:
    hardware: Hardware
    shape: Shape
    scheme: Scheme
    tensor_parallel: int = 1
    kv_bits: float = 16.0  # a key or value takes
    overhead_s: float = OVERHEAD_S

    @cached_property
    def weight_bytes(self) -> float:
        """That all GPUs together read of the model in a step that takes every expert; the embedding is not read."""
        return self._linear_bytes(self.shape.linear_weights) + self.shape.head_weights * BF16_BYTES

    @cached_property
    def memory_bytes(self) -> float:
        """Bytes of the model on all GPUs together, embedding included."""
        return self.weight_bytes + self.shape.head_weights * BF16_BYTES

    @cached_property
    def kv_bytes_per_token(self) -> float:
        """On one GPU."""
        shared = min(self.tensor_parallel, self.shape.kv_heads)
        return self.shape.kv_values_per_token * self.kv_bits / 8 / shared

    @cached_property
    def kv_cache_tokens(self) -> int:
        """Tokens whose keys and values fit beside the weights; below 1, the model does not fit."""
        free = self.hardware.memory * HBM_SHARE - self.memory_bytes / self.tensor_parallel
        return int(free // self.kv_bytes_per_token)

    @cached_property
    def bf16_flops_per_s(self) -> float:
        """FLOP/s of one GPU."""
        return self.hardware.peak["bf16"] * BF16_EFFICIENCY

    @cached_property
    def linear_flops_per_s(self) -> float:
        """FLOP/s of one GPU."""
        return self.scheme.linear_flops_per_s(self.hardware)

    def step_s(self, batch: Batch) -> float:
        """Seconds; never less for more work."""
        shape, degree = self.shape, self.tensor_parallel
        read = self._linear_bytes(shape.read_weights(batch.tokens)) + shape.head_weights * BF16_BYTES
        transferred = read / degree + self.kv_bytes_per_token * batch.kv_tokens
        memory_s = transferred / (self.hardware.bandwidth * BANDWIDTH_EFFICIENCY)
        linear_s = 2 * shape.active_weights * batch.tokens / self.linear_flops_per_s
        bf16 = shape.attention_flops_per_pair * batch.attention_pairs + 2 * shape.head_weights * batch.outputs
        compute_s = (linear_s + bf16 / self.bf16_flops_per_s) / degree
        return self.overhead_s + max(memory_s, compute_s) + self.reduce_s(batch.tokens)

    def reduce_s(self, tokens: int) -> float:
        """Seconds of all all-reduces of a step."""
        if self.tensor_parallel == 1:
            return 0.0
        ring = 2 * (self.tensor_parallel - 1) / self.tensor_parallel
        moved_s = ring * tokens * self.shape.hidden * BF16_BYTES / (self.hardware.link * LINK_EFFICIENCY)
        return 2 * self.shape.layers * (self.hardware.link_latency_s + moved_s)

    def _linear_bytes(self, weights: float) -> float:
        return weights * self.scheme.bits / 8


def problems(model: Roofline) -> list[str]:
    """Why these GPUs cannot run the scheme, share the model or hold it."""
    found = []
    gpu, shape, degree = model.hardware, model.shape, model.tensor_parallel
    if model.scheme.sparse and model.scheme.compute not in gpu.peak:
        has = ", ".join(name for name, other in HARDWARE.items() if model.scheme.compute in other.peak)
        found.append(f"{gpu.name} has no kernels for {model.scheme.name}; set engine.hardware to one of {has}")
    if degree > NODE_GPUS or shape.heads % degree:
        fits = [str(n) for n in range(1, NODE_GPUS + 1) if shape.heads % n == 0]
        found.append(
            f"tensor_parallel {degree}: {shape.name} has {shape.heads} attention heads, and the simulated node "
            f"{NODE_GPUS} GPUs; it can be {', '.join(fits)}"
        )
    elif model.kv_cache_tokens < 1:
        held = f"one {gpu.name} has" if degree == 1 else f"{degree} x {gpu.name} have"
        found.append(
            f"{shape.name} in {model.scheme.name} takes {model.memory_bytes / 1e9:.0f} GB, and {held} "
            f"{degree * gpu.memory / 1e9:.0f} GB, {HBM_SHARE:.0%} of them for weights and KV cache; {_remedy(model)}"
        )
    return found


def _remedy(model: Roofline) -> str:
    for degree in range(model.tensor_parallel + 1, NODE_GPUS + 1):
        larger = Roofline(model.hardware, model.shape, model.scheme, degree, model.kv_bits)
        if model.shape.heads % degree == 0 and larger.kv_cache_tokens >= 1:
            return f"it fits {degree}: set deployments.tensor_parallel=[{degree}], or engine.shape to a smaller model"
    return f"no node of {NODE_GPUS} holds it: set engine.hardware to larger GPUs, or engine.shape to a smaller model"
