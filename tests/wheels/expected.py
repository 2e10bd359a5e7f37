"""What each form runs as: (scheme or method of every quantized linear layer, its kernel, flags of the harness).

The kernel is None where vLLM keeps no object for it, and a set where layers of other sizes take other ones. An `Error`
says with which words the wheel refuses the form.
"""

from dataclasses import dataclass

FP8 = ("CompressedTensorsW8A8Fp8", "CutlassFP8ScaledMMLinearKernel")
INT8 = ("CompressedTensorsW8A8Int8", "CutlassInt8ScaledMMLinearKernel")
MACHETE, MARLIN = ("CompressedTensorsWNA16", "MacheteLinearKernel"), ("CompressedTensorsWNA16", "MarlinLinearKernel")
SPARSE = ("CompressedTensors24", None)
DENSE = (None, None)  # no layer is quantized


@dataclass(frozen=True)
class Error:
    says: str


RUNS: dict[tuple[str, str], dict[str, tuple | Error]] = {
    ("vllm_sparse", "h100"): {
        "bf16": DENSE,
        "fp8_dynamic": FP8,
        "w4a16": MACHETE,
        "sparse24_fp8": SPARSE,
        "awq_judge": ("AWQMarlinLinearMethod", None),
        "smollm2_bf16": DENSE,
        "smollm2_fp8": FP8,
        "smollm2_sparse24_fp8": SPARSE,
        "smollm2_int8": INT8,
        "smollm2_w4a16": (
            "CompressedTensorsWNA16",
            {"ExllamaLinearKernel", "MacheteLinearKernel", "MarlinLinearKernel"},
        ),
        "sparse24_fp8_dense": SPARSE,
        "sparse24_int8": SPARSE,
        "sparse24_bf16": SPARSE,
        "sparse24_fp8_unsaid": (*FP8, "no_sparse_kernel"),
        "sparse24_fp8_no_targets": (*FP8, "no_sparse_kernel"),
        "sparse24_fp8_two_four": (*FP8, "no_sparse_kernel"),
        "nvfp4": ("CompressedTensorsW4A4Fp4", None, "activations_unquantized"),
    },
    ("vllm_sparse", "a100"): {
        "fp8_dynamic": ("CompressedTensorsW8A16Fp8", None, "activations_unquantized"),
        "int8_w8a8": INT8,
        "w4a16": MARLIN,
        "sparse24_fp8": Error("not supported"),
    },
    ("vllm_sparse", "b200"): {
        "fp8_dynamic": FP8,
        "sparse24_fp8": Error("Sparse CUTLASS not supported"),
    },
    ("vllm", "h100"): {
        "bf16": DENSE,
        "fp8_dynamic": FP8,
        "int8_w8a8": INT8,
        "w4a16": MACHETE,
        "w4a16_asym": MACHETE,
        "w4a8_fp8": ("CompressedTensorsW4A8Fp8", "CutlassW4A8LinearKernel"),
        "nvfp4": ("CompressedTensorsW4A4Fp4", "HummingNvFp4LinearKernel", "activations_unquantized"),
        "mxfp4": ("CompressedTensorsW4A4Mxfp4", "HummingMxFp4LinearKernel", "activations_differ"),
        "sparse24_fp8": Error("[Ss]parsity"),
    },
    ("vllm", "a100"): {
        "fp8_dynamic": ("CompressedTensorsW8A16Fp8", None, "activations_unquantized"),
        "int8_w8a8": INT8,
        "w4a16": MARLIN,
    },
    ("vllm", "b200"): {
        "fp8_dynamic": FP8,
        "nvfp4": ("CompressedTensorsW4A4Fp4", "FlashInferCuteDslNvFp4LinearKernel"),
        "mxfp4": ("CompressedTensorsW4A4Mxfp4", "FlashInferMxFp4LinearKernel"),
    },
    ("vllm_sparse_marlin", "a100"): {
        "bf16": DENSE,
        "w4a16": MARLIN,
        "marlin24": ("CompressedTensorsW4A16Sparse24", None),
        "gptq_marlin24": Error("deprecated"),  # loads with --allow-deprecated-quantization
        "sparse24_bf16": (*DENSE, "no_sparse_kernel"),  # without its quantization_config: 2:4 needs Hopper
    },
    ("vllm_bitsandbytes", "h100"): {
        "mixtral": DENSE,
        "mixtral_fp8": ("Fp8LinearMethod", None),
        "mixtral_gptq8": ("AutoGPTQLinearMethod", "MacheteLinearKernel"),
        "mixtral_gptq4": ("AutoGPTQLinearMethod", "MacheteLinearKernel"),
        "mixtral_awq": ("AutoAWQMarlinLinearMethod", "MacheteLinearKernel"),
        "mixtral_nf4": ("BitsAndBytesLinearMethod", None),
    },
}
HOME = {"vllm_sparse": "h100", "vllm": "h100", "vllm_sparse_marlin": "a100", "vllm_bitsandbytes": "h100"}
CHECKPOINTS = ("vllm_sparse", "vllm", "vllm_sparse_marlin")  # engines of sweeps that serve what our recipes make
