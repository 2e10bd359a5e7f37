"""What the bytes hold: zeros and 2:4 groups of the weights, finiteness of weights and scales. numpy on raw bytes.

2:4 means that of every 4 neighbours along the input dimension at least 2 are zero. Small checkpoints are measured
whole; of large ones, evenly spaced rows of every layer, so that no layer goes unseen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from harness.checkpoints.inspection.files import BITS, Container, Tensor
from harness.checkpoints.inspection.layouts import Stored

CHUNK = 4 << 20  # bytes read at once
BYTES: dict[int, np.dtype] = {8: np.dtype("u1"), 16: np.dtype("<u2"), 32: np.dtype("<u4"), 64: np.dtype("<u8")}
# dtype: (bits of the value without its sign, exponent bits that are all ones in inf and NaN; None: there are none)
MAGNITUDE = {
    "BF16": (0x7FFF, 0x7F80),
    "F16": (0x7FFF, 0x7C00),
    "F32": (0x7FFFFFFF, 0x7F800000),
    "F64": (0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000),
    "F8_E4M3": (0x7F, 0x7F),
    "F8_E5M2": (0x7F, 0x7C),
    "I8": (0xFF, None),
    "U8": (0xFF, None),
}


@dataclass(frozen=True)
class Measured:
    """Counts over the values that were looked at."""

    values: int = 0
    zeros: int = 0
    groups: int = 0  # of 4; 0 where the layout has none
    sparse_groups: int = 0  # with 2 zeros at least
    not_finite: int = 0

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def measure(container: Container, layer: Stored, budget: int | None) -> Measured:
    """`budget`: bytes to read of this layer; None: all. Raises HarnessError for a file that ends too early."""
    total = Measured()
    for zeros, not_finite in _zero_rows(container, layer, budget):
        groups = sparse = 0
        if zeros.shape[1] % 4 == 0 and layer.layout != "bnb4":
            fours = np.ascontiguousarray(zeros).view(np.uint32)  # bytes of 0 and 1; the product's top byte is their sum
            groups, sparse = fours.size, int(np.count_nonzero((fours * np.uint32(0x01010101)) >> 24 >= 2))
        total += Measured(zeros.size, int(np.count_nonzero(zeros)), groups, sparse, not_finite)
    return total


def _zero_rows(container: Container, layer: Stored, budget: int | None) -> Iterator[tuple[np.ndarray, int]]:
    """(mask of zeros (rows, inputs in order), values that are inf or NaN), piece by piece."""
    weight = layer.weight
    if layer.layout == "marlin_24":
        return  # its order of values is the kernel's
    if layer.matrices > 1 and {"weight_zero_point", "qzeros"} & set(layer.parts):
        return  # fused experts with zero points: not looked at
    if layer.layout in ("gptq", "awq"):
        yield from _columns(container, layer, budget)
        return
    rows = prod(weight.shape[:-1])
    row_bytes = weight.bytes // max(1, rows)
    if layer.inputs_first:
        yield from _inputs_first(container, layer, rows, row_bytes, budget)
        return
    if layer.layout in ("experts", "bnb4"):
        rows, row_bytes = max(1, weight.bytes // 4096), 4096 if weight.bytes >= 4096 else weight.bytes
    for first, count in _spread(rows, row_bytes, budget):
        raw = np.frombuffer(container.data(weight, first * row_bytes, count * row_bytes), np.uint8)
        yield _rows(container, layer, raw.reshape(count, row_bytes), first)


def _inputs_first(
    container: Container, layer: Stored, rows: int, row_bytes: int, budget: int | None
) -> Iterator[tuple[np.ndarray, int]]:
    """A tensor (experts, in, out): four rows are the groups of four inputs of every output."""
    step = 4 if layer.shape[1] % 4 == 0 else 1
    for first, count in _spread(rows // step, row_bytes * step, budget):
        raw = np.frombuffer(container.data(layer.weight, first * step * row_bytes, count * step * row_bytes), np.uint8)
        zeros, not_finite = _rows(container, layer, raw.reshape(count * step, row_bytes), first)
        yield zeros.reshape(count, step, -1).transpose(0, 2, 1).reshape(-1, step), not_finite


def _rows(container: Container, layer: Stored, raw: np.ndarray, first: int) -> tuple[np.ndarray, int]:
    if layer.layout == "plain":
        magnitude, infinite = MAGNITUDE.get(layer.weight.dtype, (0xFF, None))
        bits = raw.view(BYTES[BITS[layer.weight.dtype]]) & magnitude
        not_finite = 0 if infinite is None else int(np.count_nonzero((bits & infinite) == infinite))
        return bits == 0, not_finite
    if layer.layout == "bitmask":
        return np.unpackbits(raw, axis=1, bitorder="little") == 0, 0
    if layer.layout in ("fp4", "experts"):
        if layer.weight.dtype == "F4":
            return (raw & 7) == 0, 0
        return np.stack(((raw & 7) == 0, (raw & 0x70) == 0), axis=2).reshape(len(raw), -1), 0
    if layer.layout == "bnb4":
        zero = 7 if layer.format.type == "normal_float" else 0
        return np.stack(((raw >> 4) == zero, (raw & 15) == zero), axis=2).reshape(len(raw), -1), 0
    return _packed_rows(container, layer, raw, first), 0


def _packed_rows(container: Container, layer: Stored, raw: np.ndarray, first: int) -> np.ndarray:
    """pack-quantized: value + 2^(bits-1), so that is what zero looks like, or the group's zero point."""
    bits, inputs = layer.format.bits, layer.shape[1]
    if 32 % bits:
        return np.zeros((len(raw), 0), bool)  # values that straddle words: not looked at
    values = _nibbles(raw.view(BYTES[32]), bits).reshape(len(raw), -1)[:, :inputs]
    points = layer.parts.get("weight_zero_point")
    if points is None:
        return values == 1 << (bits - 1)
    packed = np.frombuffer(container.data(points), BYTES[32]).reshape(points.shape)
    zero = _nibbles(packed.T, bits).reshape(points.shape[1], -1).T[first : first + len(raw)]
    return values == np.repeat(zero, inputs // zero.shape[1], axis=1)


def _nibbles(words: np.ndarray, bits: int) -> np.ndarray:
    """(..., n) words to (..., n, 32 / bits) values, the lowest bits first."""
    if bits == 8:
        return np.ascontiguousarray(words).view(np.uint8).reshape(*words.shape, 4)
    if bits == 4:  # bytes are four times less to move than words
        pairs = np.ascontiguousarray(words).view(np.uint8)
        return np.stack((pairs & 15, pairs >> 4), axis=-1).reshape(*words.shape, 8)
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    return ((words[..., None] >> shifts) & np.uint32((1 << bits) - 1)).astype(np.uint8)


def _columns(container: Container, layer: Stored, budget: int | None) -> Iterator[tuple[np.ndarray, int]]:
    """GPTQ and AWQ lie with the inputs along the rows of int32 words."""
    bits, (out, inputs) = layer.format.bits, layer.shape
    if 32 % bits:
        return
    zeros_tensor = layer.parts["qzeros"]
    packed = np.frombuffer(container.data(zeros_tensor), BYTES[32]).reshape(zeros_tensor.shape)
    zero_points = _nibbles(packed, bits).reshape(zeros_tensor.shape[0], -1)[:, :out]
    group_of = np.arange(inputs) // max(1, inputs // len(zero_points))
    if layer.layout == "gptq":
        zero_points = (zero_points + 1) & ((1 << bits) - 1)  # AutoGPTQ stores one less
        if "g_idx" in layer.parts:
            group_of = np.frombuffer(container.data(layer.parts["g_idx"]), np.dtype("<i4"))
    group_of = np.clip(group_of, 0, len(zero_points) - 1)
    per_word = 32 // bits if layer.layout == "gptq" else 1
    step = 4 // min(4, per_word)  # rows that hold whole groups of four inputs
    row_bytes = layer.weight.bytes // layer.weight.shape[0] * step
    for first, count in _spread(layer.weight.shape[0] // step, row_bytes, budget):
        raw = np.frombuffer(container.data(layer.weight, first * row_bytes, count * row_bytes), BYTES[32])
        words = raw.reshape(count * step, -1)
        start = first * step * per_word
        if layer.layout == "gptq":
            values = _nibbles(words, bits).transpose(0, 2, 1).reshape(-1, out)  # (inputs, out)
        else:
            values = _nibbles(words, bits).reshape(len(words), -1)  # interleaved, as its zero points are
        yield (values == zero_points[group_of[start : start + len(values)]]).T, 0


def _spread(rows: int, row_bytes: int, budget: int | None) -> Iterator[tuple[int, int]]:
    """(first row, rows) pieces: all of them, or `budget` bytes in pieces from the first row to the last."""
    if rows <= 0 or row_bytes <= 0:
        return
    at_once = max(1, CHUNK // row_bytes)
    if budget is None or rows * row_bytes <= budget:
        for first in range(0, rows, at_once):
            yield first, min(at_once, rows - first)
        return
    pieces = max(2, min(16, budget >> 15, budget // row_bytes))
    count = max(1, min(at_once, budget // pieces // row_bytes))
    for first in sorted({round(piece * (rows - count) / (pieces - 1)) for piece in range(pieces)}):
        yield first, count


@dataclass(frozen=True)
class Scales:
    """Facts of one scale tensor, over the values that were read."""

    dtype: str
    shape: tuple[int, ...]
    read: int
    not_finite: int
    zero: int
    negative: int


def scale_facts(container: Container, tensor: Tensor, budget: int) -> Scales | None:
    """None for a dtype that holds no sign nor NaN that could be wrong (bitsandbytes' quantized statistics)."""
    if tensor.dtype not in MAGNITUDE and tensor.dtype != "F8_E8M0":
        return None
    raw = container.data(tensor, 0, min(tensor.bytes, budget // 8 * 8))
    bits = BITS[tensor.dtype]
    values = np.frombuffer(raw, BYTES[bits])
    if tensor.dtype in ("U8", "F8_E8M0"):  # E8M0: a power of two; 255 is NaN
        return Scales(tensor.dtype, tensor.shape, values.size, int((values == 255).sum()), 0, 0)
    magnitude, infinite = MAGNITUDE[tensor.dtype]
    sizes = values & magnitude
    broken = np.zeros(sizes.shape, bool) if infinite is None else (sizes & infinite) == infinite
    sign = np.asarray(1, values.dtype) << np.asarray(bits - 1, values.dtype)
    negative = (values & sign != 0) & ~broken & (sizes != 0)
    return Scales(tensor.dtype, tensor.shape, values.size, *(int(m.sum()) for m in (broken, sizes == 0, negative)))
