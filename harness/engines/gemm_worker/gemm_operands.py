"""Random operands in a number format, and the float64 product that a kernel's answer is held against.

Gaussian values, rounded to nearest; 8-bit formats with a scale per output channel of W and per token of X, 448 (the
largest E4M3 value) or 127 for the largest magnitude; 2:4 keeps the two largest magnitudes of every four inputs.
"""

from dataclasses import dataclass

import torch

DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int8": torch.int8,
    "fp8": torch.float8_e4m3fn,
    "sparse24_fp8": torch.float8_e4m3fn,
}
LARGEST = {"int8": 127.0, "fp8": 448.0, "sparse24_fp8": 448.0}
# Relative error (Frobenius norm over the sample) that rounding explains. An answer in BF16 is off by at most 2^-8, in
# FP16 by 2^-10, where it is truncated, as AVX2 kernels do; by half of it where rounded; 5 % more for sums in FP32.
# Hopper's FP8 tensor cores keep about 14 bits of a sum (fast accumulation).
BF16, FP16 = 1.05 * 2**-8, 1.05 * 2**-10
BOUNDS = {"bf16": BF16, "fp16": FP16, "fp32": 1e-5, "int8": BF16, "fp8": 2**-6, "sparse24_fp8": 2**-6}
ROWS, COLUMNS = 16, 64  # of the sample: first, last, and others by chance


@dataclass(frozen=True)
class Matrix:
    """`values` [rows, K]; `scale` [rows, 1] float32, None for 16 and 32 bits: the matrix is values * scale."""

    values: torch.Tensor
    scale: torch.Tensor | None

    @property
    def bytes(self) -> int:
        return self.values.numel() * self.values.element_size()

    def copy(self) -> "Matrix":
        return Matrix(self.values.clone(), self.scale)


def random_matrix(format: str, rows: int, k: int, device: str, seed: int, weights: bool = False) -> Matrix:
    generator = torch.Generator(device).manual_seed(seed)
    values = torch.randn(rows, k, generator=generator, device=device)
    if weights and format == "sparse24_fp8":
        values = keep_two_of_four(values)
    if format not in LARGEST:
        return Matrix(values.to(DTYPES[format]), None)
    scale = values.abs().amax(dim=1, keepdim=True) / LARGEST[format]
    values = values / scale
    return Matrix((values.round() if format == "int8" else values).to(DTYPES[format]), scale)


def keep_two_of_four(values: torch.Tensor) -> torch.Tensor:
    groups = values.reshape(-1, 4)
    kept = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, groups.abs().topk(2, dim=1).indices, True)
    return (groups * kept).reshape(values.shape)


def relative_error(y: torch.Tensor, x: Matrix, w: Matrix, scaled: bool, seed: int) -> float:
    """|Y - X W^T| / |X W^T| in float64, over a sample of rows and columns. `scaled`: the kernel applies the scales."""
    rows, columns = _sample(y.shape[0], ROWS, seed), _sample(y.shape[1], COLUMNS, seed + 1)
    exact = _exact(x, rows, scaled) @ _exact(w, columns, scaled).t()
    answer = y[rows.to(y.device)][:, columns.to(y.device)].cpu().double()
    return float((answer - exact).norm() / exact.norm())


def _sample(size: int, wanted: int, seed: int) -> torch.Tensor:
    if size <= wanted:
        return torch.arange(size)
    inner = torch.randperm(size - 2, generator=torch.Generator().manual_seed(seed))[: wanted - 2] + 1
    return torch.cat([torch.tensor([0, size - 1]), inner])


def _exact(matrix: Matrix, rows: torch.Tensor, scaled: bool) -> torch.Tensor:
    rows = rows.to(matrix.values.device)
    values = matrix.values.view(torch.uint8)[rows].view(torch.float8_e4m3fn) if _fp8(matrix) else matrix.values[rows]
    values = values.cpu().double()
    return values * matrix.scale[rows].cpu().double() if scaled and matrix.scale is not None else values


def _fp8(matrix: Matrix) -> bool:
    return matrix.values.dtype == torch.float8_e4m3fn  # which torch cannot index
