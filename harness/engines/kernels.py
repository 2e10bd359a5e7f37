"""vLLM's kernels: which of them emulate, which leave activations in 16 bit, and which versions take 2:4 sparsity."""

from typing import Any

from harness.engines.releases import CUTLASS_24, version_in

# Kernels that compute a scheme's result without its arithmetic: their speed is not the scheme's.
EMULATIONS = {
    "ChannelWiseTorchFP8ScaledMMLinearKernel": {"cpu"},
    "PerTensorTorchFP8ScaledMMLinearKernel": {"cpu"},
    "CPUFp8PerTensorScaledMMLinearKernel": {"cpu"},
}
SIXTEEN_BIT = "16 bit"
# Kernels that multiply quantized weights with 16-bit activations, though the layer's scheme may quantize these. Read
# from the wheels 0.15.1 to 0.32.0: kernels/linear, fused_moe/oracle and utils/marlin_utils_fp4.py, marlin_utils_fp8.py.
WEIGHT_ONLY = {
    "MarlinFP8ScaledMMLinearKernel",
    "MarlinNvFp4LinearKernel",
    "MarlinMxFp4LinearKernel",
    "MarlinMxfp8LinearKernel",
    "HummingFP8ScaledMMLinearKernel",  # 0.32: without an input schema
    "HummingInt8ScaledMMLinearKernel",
    "FlashInferCuteDslNvFp4W4A16LinearKernel",
    "B12xNvFp4W4A16LinearKernel",
    "EmulationMxfp8LinearKernel",
    "CPUFp8BlockScaledMMKernel",
    "XPUW8A16FP8LinearKernel",
    "MarlinExperts",
    "BatchedMarlinExperts",
}
MARLIN_BACKENDS = {"marlin", "batched_marlin", "nvfp4linearbackend.marlin", "marlin (weight-only)"}  # of FP4 and FP8


def is_emulated(kernel: str, device: str | None) -> bool:
    return "emulat" in kernel.lower() or device in EMULATIONS.get(kernel, ())


def activations_of(kernel: str, layer: str, capability: float | None) -> str | None:
    """The format of the activations where it is not the one that the layer's scheme names; None also for a kernel that
    is not known here.

    Humming takes the scheme's format where the GPU multiplies it, else the next that it does (0.32.0, humming/schema.py
    and humming-kernels 0.1.17, is_humming_schema_compatible).
    """
    if kernel in WEIGHT_ONLY or (kernel.lower() in MARLIN_BACKENDS and "FP" in layer.upper()):
        return SIXTEEN_BIT
    if not kernel.startswith("Humming") or capability is None or capability >= 12.0:
        return None
    if kernel in ("HummingNvFp4LinearKernel", "HummingMxfp8LinearKernel"):
        return SIXTEEN_BIT
    if kernel == "HummingMxFp4LinearKernel":
        if capability >= 10.0:
            return SIXTEEN_BIT
        return "fp8 e4m3, per token" if capability >= 8.9 else "int8, per token"
    return None


def wants_sparsity_config(engine: Any) -> bool:
    """Does this engine have 2:4 kernels, which it takes where a checkpoint's sparsity_config says so?

    vLLM from 0.19 on refuses such a checkpoint at load, on every device (compressed_tensors.py of 0.32: "Sparsity
    support has been removed"); and a CPU has no 2:4 kernels.
    """
    if (engine.kind, engine.device) != ("vllm", "cuda"):
        return False
    return version_in(engine.version, CUTLASS_24)
