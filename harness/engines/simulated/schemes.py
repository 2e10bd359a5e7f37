"""A variant's typed scheme as the roofline model sees it: bits a weight takes, and what its products are computed in.

    dense   bits = bits_per_weight (harness/config/schemes.py): the number, and its group's scale and zero point
    2:4     half of the numbers, 2 bits of metadata for each of them, and the scales of the dense groups

Products are computed in the activations' type, where the GPU has it; 16-bit activations, and types that it lacks, are
computed in BF16 from weights that are widened in registers, as Marlin kernels do (FP8 on Ampere, FP4 on Hopper).

The efficiencies are assumptions, chosen so that large GEMMs come out 1.9x (FP8) and 2.5x (2:4 sparse FP8) faster than
BF16 on Hopper, which is what the Sparse Llama study (Neural Magic, 2024) measured of its kernels: INT8 as FP8; each
halving of the width, FP4's too, brings 1.9 of its 2; 2:4 brings 2.5/1.9 of its 2 in every type. One thing a scheme does
not tell: LLM.int8() computes its outliers apart, in FP16, and comes out here as any INT8 W8A8.
"""

from dataclasses import dataclass

from harness.config import variants
from harness.config.schemes import bits_per_weight, number, quantized
from harness.machine.data_sheets import SPARSE_PEAK, Hardware

BF16_EFFICIENCY = 0.6
FP8_GAIN, SPARSE_FP8_GAIN = 1.9, 2.5  # measured, over BF16
METADATA_BITS = 2  # for each number that 2:4 keeps: which of the four it is
EFFICIENCY = {
    "bf16": BF16_EFFICIENCY,
    "fp8": BF16_EFFICIENCY * FP8_GAIN / 2,
    "int8": BF16_EFFICIENCY * FP8_GAIN / 2,
    "fp4": BF16_EFFICIENCY * (FP8_GAIN / 2) ** 2,
}
SPARSE_EFFICIENCY = SPARSE_FP8_GAIN / FP8_GAIN / SPARSE_PEAK  # of the dense one


@dataclass(frozen=True)
class Scheme:
    name: str
    bits: float  # a weight takes in memory
    compute: str  # bf16 | fp8 | int8 | fp4
    sparse: bool = False

    def linear_flops_per_s(self, hardware: Hardware) -> float:
        """FLOP/s of dense work that large GEMMs reach on one GPU."""
        compute = self.compute if self.compute in hardware.peak else "bf16"
        dense = hardware.peak[compute] * EFFICIENCY[compute]
        return dense * SPARSE_PEAK * SPARSE_EFFICIENCY if self.sparse else dense


# For `engine.schemes.NAME`, which overrides what a variant's typed scheme says.
SCHEMES = {
    "bf16": Scheme("BF16", 16, "bf16"),
    "fp8": Scheme("FP8 W8A8", 8, "fp8"),
    "int8": Scheme("INT8 W8A8", 8, "int8"),
    "sparse_fp8": Scheme("2:4 sparse FP8 W8A8", (8 + METADATA_BITS) / 2, "fp8", True),
    "int4": Scheme("INT4 W4A16", 4 + 16 / 128, "bf16"),
}


def scheme_of(typed: variants.Scheme) -> Scheme:
    """Raises ValueError for activations that no tensor core multiplies."""
    weights, activations = typed.weights, typed.activations
    bits, sparse = bits_per_weight(weights), typed.sparsity == "2:4"
    if sparse:
        bits -= (weights.bits - METADATA_BITS) / 2  # half of the numbers; the scales stay
    name = number(weights).upper().removesuffix(" E4M3")
    if quantized(weights):
        name += f" W{weights.bits}A{activations.bits}"
    compute = _compute(activations) if quantized(weights) else "bf16"
    return Scheme(f"2:4 sparse {name}" if sparse else name, bits, compute, sparse)


def _compute(activations: variants.Format) -> str:
    known = {("float", 8): "fp8", ("int", 8): "int8", ("float", 4): "fp4"}
    found = "bf16" if not quantized(activations) else known.get((activations.type, activations.bits))
    if found is None:
        raise ValueError(f"no tensor core multiplies activations in {number(activations)}")
    return found
