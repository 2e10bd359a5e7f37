"""The products that are timed: what vLLM calls for a format, and what the vendor's library does for the same one.

A kernel is one entry of KERNELS. `prepare(w)` brings one copy of the weights into the kernel's own layout; `bind(state,
x)` gives the call that is timed, a product of quantized operands alone: activations are quantized before it.
ImportError, AttributeError, RuntimeError or NotImplementedError in any of the three mean that the kernel is not here.

CPU kernels were run (AVX2). The CUDA ones were written against the sources of vLLM 0.18.1 and 0.32.0 (_custom_ops.py,
model_executor/layers) and PyTorch (_semi_structured_ops.py, ATen cuSPARSELtOps), and have not been run on a GPU by us;
neither has the AMX one. Each answer is checked against float64 before it is timed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from gemm_operands import Matrix

Call = Callable[[], torch.Tensor]
ENGINE, VENDOR = "engine", "vendor"
UNQUANTIZED = ("bf16", "fp16", "fp32")
FLOATS = (torch.bfloat16, torch.float16, torch.float32)


@dataclass(frozen=True)
class Kernel:
    """`role`: engine (what vLLM runs) | vendor. `scaled`: applies the scales per token and channel to its answer."""

    device: str
    formats: tuple[str, ...]
    role: str
    prepare: Callable[[Matrix], Any]
    bind: Callable[[Any, Matrix], Call]
    scaled: bool = True
    note: Callable[[Any], str] | None = None  # which kernel a dispatcher chose


def ops():
    from vllm import _custom_ops

    return _custom_ops


def _linear(w: torch.Tensor, x: Matrix) -> Call:
    return lambda: torch.nn.functional.linear(x.values, w)


def _dispatched(w: Matrix) -> Any:
    """vLLM's own choice for this CPU: oneDNN, AMX kernels of SGLang, or torch where these do not take the type."""
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(w.values, requires_grad=False)
    dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
    return layer


def _chosen(layer: Any) -> str:
    return layer.cpu_linear.__code__.co_names[-1]


def _amx_int8(w: Matrix) -> bool:
    """CPUInt8ScaledMMLinearKernel.process_weights_after_loading: AMX machines take SGLang's kernel."""
    from vllm.model_executor.layers.utils import check_cpu_sgl_kernel

    return check_cpu_sgl_kernel(*w.values.shape, torch.int8)


def _onednn_int8(w: Matrix) -> Any:
    if _amx_int8(w):
        raise NotImplementedError("vLLM takes int8_scaled_mm_with_quant on a CPU with AMX")
    return ops().create_onednn_scaled_mm(w.values.t(), w.scale, torch.bfloat16, True, False, 32)


def _bind_onednn_int8(handler: Any, x: Matrix) -> Call:
    out = torch.empty((x.values.shape[0], handler.n), dtype=torch.bfloat16)
    return lambda: ops().onednn_scaled_mm(handler, x.values, out, x.scale, None, None, None)


def _sgl_int8(w: Matrix) -> Any:
    if not _amx_int8(w):
        raise NotImplementedError("vLLM takes it on a CPU with AMX only")
    return torch.ops._C.convert_weight_packed(w.values), w.scale.reshape(-1)


def _bind_sgl_int8(state: Any, x: Matrix) -> Call:
    packed, scale = state  # it quantizes the activations itself: they are given back what they stand for
    given = (x.values.float() * x.scale).bfloat16()
    return lambda: torch.ops._C.int8_scaled_mm_with_quant(given, packed, scale, None, torch.bfloat16, True)


def _bind_int_mm(w: torch.Tensor, x: Matrix) -> Call:
    return lambda: torch._int_mm(x.values, w.t())


def _bind_cutlass(w: Matrix, x: Matrix) -> Call:
    b = w.values.t()  # [K, N], column-major, as vLLM keeps it
    return lambda: ops().cutlass_scaled_mm(x.values, b, x.scale, w.scale, torch.bfloat16)


def _bind_scaled_mm_rows(w: Matrix, x: Matrix) -> Call:
    """cuBLASLt from CUDA 12.9 on (outer vector scales); PyTorch's own CUTLASS kernel before."""
    b, scale_b = w.values.t(), w.scale.reshape(1, -1).contiguous()
    return lambda: torch._scaled_mm(
        x.values, b, scale_a=x.scale, scale_b=scale_b, out_dtype=torch.bfloat16, use_fast_accum=True
    )


def _bind_scaled_mm_tensor(w: Matrix, x: Matrix) -> Call:
    """cuBLASLt with one scale, here 1: the least that it has to do."""
    b, one = w.values.t(), torch.ones((), device=x.values.device)
    return lambda: torch._scaled_mm(
        x.values, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
    )


def _cutlass_sparse(w: Matrix) -> Any:
    return (*ops().cutlass_sparse_compress(w.values), w.scale)


def _bind_cutlass_sparse(state: Any, x: Matrix) -> Call:
    kept, meta, scale = state
    return lambda: ops().cutlass_scaled_sparse_mm(x.values, kept, meta, x.scale, scale, torch.bfloat16)


def _bind_cusparselt(packed: torch.Tensor, x: Matrix) -> Call:
    """Its fastest algorithm for the shape. It takes batches of whole sixteens and no scale per token: alpha is 1."""
    rows = x.values.shape[0]
    padded = x.values.new_zeros(-(-rows // 16) * 16, x.values.shape[1])
    padded.view(torch.uint8)[:rows] = x.values.view(torch.uint8)
    kind = {"out_dtype": torch.bfloat16, "transpose_result": True}
    best = torch._cslt_sparse_mm_search(packed, padded.t(), **kind)
    return lambda: torch._cslt_sparse_mm(packed, padded.t(), alg_id=best, **kind)[:rows]


def _values(w: Matrix) -> torch.Tensor:
    return w.values


def _same(w: Matrix) -> Matrix:
    return w


KERNELS = {
    "vLLM CPU linear": Kernel(
        "cpu", UNQUANTIZED, ENGINE, _dispatched, lambda s, x: lambda: s.cpu_linear(x.values, s.weight, None),
        note=_chosen,
    ),
    "torch linear": Kernel("cpu", UNQUANTIZED, VENDOR, _values, _linear),
    "vLLM onednn_scaled_mm": Kernel("cpu", ("int8",), ENGINE, _onednn_int8, _bind_onednn_int8),
    "vLLM int8_scaled_mm_with_quant": Kernel("cpu", ("int8",), ENGINE, _sgl_int8, _bind_sgl_int8),
    "torch._int_mm": Kernel("cpu", ("int8",), VENDOR, _values, _bind_int_mm, scaled=False),
    "cuBLAS (torch linear)": Kernel("cuda", UNQUANTIZED, ENGINE, _values, _linear),
    "vLLM cutlass_scaled_mm": Kernel("cuda", ("fp8", "int8"), ENGINE, _same, _bind_cutlass),
    "torch._scaled_mm, scale per row": Kernel("cuda", ("fp8",), VENDOR, _same, _bind_scaled_mm_rows),
    "cuBLASLt (torch._scaled_mm, one scale)": Kernel(
        "cuda", ("fp8",), VENDOR, _same, _bind_scaled_mm_tensor, scaled=False
    ),
    "cuBLASLt (torch._int_mm)": Kernel("cuda", ("int8",), VENDOR, _values, _bind_int_mm, scaled=False),
    "vLLM cutlass_scaled_sparse_mm": Kernel(
        "cuda", ("sparse24_fp8",), ENGINE, _cutlass_sparse, _bind_cutlass_sparse
    ),
    "cuSPARSELt (torch._cslt_sparse_mm)": Kernel(
        "cuda", ("sparse24_fp8",), VENDOR, lambda w: torch._cslt_compress(w.values), _bind_cusparselt, scaled=False
    ),
}  # fmt: skip


def kernels_of(device: str, format: str) -> dict[str, Kernel]:
    return {name: kernel for name, kernel in KERNELS.items() if kernel.device == device and format in kernel.formats}
