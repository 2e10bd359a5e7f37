"""What the tensors of a GGUF file are stored as, from its header (ggml-org/ggml, docs/gguf.md; versions 2 and 3)."""

import re
import struct
from collections import Counter
from math import prod
from pathlib import Path
from typing import BinaryIO

from harness.errors import HarnessError

# ggml_type of ggml.h
TYPES = {
    **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K"},
    **{12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S"},
    **{20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64"},
    **{29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"},
}
ASYMMETRIC = {"Q4_1", "Q5_1", "Q8_1", "Q2_K", "Q4_K", "Q5_K"}  # a minimum beside each block's scale
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a metadata value, by type
STRING, ARRAY = 8, 9
# Far above what any model has: a file with more is damaged, or made to keep its reader busy.
MOST_TENSORS, MOST_VALUES, MOST_TEXTS, MOST_NESTED, MOST_DIMENSIONS = 1_000_000, 100_000, 4_000_000, 3, 8
MOST_ELEMENTS = 1 << 50


def elements_by_type(path: Path) -> dict[str, int]:
    """Values of the tensors with two dimensions or more, by type. Raises HarnessError for what is no GGUF file."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, struct.error, ValueError) as error:
        raise HarnessError(f"{path} cannot be read as a GGUF file ({error}); download it again") from None


def main_type(path: Path) -> str:
    """The type of most values: Q4_K of a Q4_K_M file, whose embedding and some layers have more bits."""
    counted = elements_by_type(path)
    return max(counted, key=counted.__getitem__)


def bits(name: str) -> int:
    """A value's own bits, without its share of a block's scale: 4 of Q4_K."""
    digits = re.search(r"\d+", name)
    return int(digits[0]) if digits else 0


def _read(file: BinaryIO) -> dict[str, int]:
    magic, version, tensors, values = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"it begins with {magic!r}, version {version}")
    size = file.seek(0, 2)
    file.seek(24)
    _limit(tensors, MOST_TENSORS, "tensors")
    _limit(values, MOST_VALUES, "metadata values")
    for _ in range(values):
        _string(file, size)
        _skip(file, size, _number(file, "<I"))
    found: Counter[str] = Counter()
    for _ in range(tensors):
        _string(file, size)
        _limit(count := _number(file, "<I"), MOST_DIMENSIONS, "dimensions of a tensor")
        sizes = struct.unpack(f"<{count}Q", file.read(8 * count))
        kind, _offset = struct.unpack("<IQ", file.read(12))
        if count > 1:
            found[TYPES.get(kind, f"type {kind}")] += _limit(prod(sizes), MOST_ELEMENTS, "elements of a tensor")
    if not sum(found.values()):
        raise ValueError("it holds no tensors")
    return dict(found)


def _limit(count: int, most: int, what: str) -> int:
    if count > most:
        raise ValueError(f"{count} {what}; a file has at most {most}")
    return count


def _number(file: BinaryIO, form: str) -> int:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _string(file: BinaryIO, size: int) -> None:
    _pass(file, size, _number(file, "<Q"))


def _pass(file: BinaryIO, size: int, count: int) -> None:
    if count > size - file.tell():
        raise ValueError(f"byte {file.tell()}: {count} bytes promised, {size - file.tell()} left")
    file.seek(count, 1)


def _skip(file: BinaryIO, size: int, kind: int, depth: int = 0) -> None:
    if kind == STRING:
        _string(file, size)
    elif kind == ARRAY:
        _limit(depth, MOST_NESTED, "arrays inside each other")
        kind, count = struct.unpack("<IQ", file.read(12))
        if kind in SIZES:
            _pass(file, size, SIZES[kind] * count)
        else:
            _limit(count, MOST_TEXTS, "texts of a list")
            for _ in range(count):
                _skip(file, size, kind, depth + 1)
    elif kind in SIZES:
        _pass(file, size, SIZES[kind])
    else:
        raise ValueError(f"byte {file.tell()}: metadata of the unknown type {kind}")
