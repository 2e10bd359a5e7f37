"""The safetensors container, parsed by hand: headers and byte ranges, of a directory or by range requests of a hub.

A file is 8 bytes (little-endian length), a JSON header {name: {dtype, shape, data_offsets}}, then the data. Nothing is
mapped or loaded whole. What is wrong with a container (missing shard, truncated file, offsets that do not fit) is
gathered as problems, and the tensors that can be read stay readable.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.checkpoints.inspection.problems import Problem
from harness.errors import HarnessError
from harness.untrusted import strict_json
from harness.untrusted.strict_json import JsonObject

INDEX = "model.safetensors.index.json"
MAX_HEADER = 100_000_000  # the safetensors library's own limit
MAX_SIZE = 1 << 63
SHARD = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.safetensors$")
BITS = {
    **{name: 64 for name in ("F64", "I64", "U64", "C64")},
    **{name: 32 for name in ("F32", "I32", "U32")},
    **{name: 16 for name in ("F16", "BF16", "I16", "U16")},
    **{name: 8 for name in ("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL")},
    **{"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4},
}


class Files(Protocol):
    """Where a checkpoint's files lie."""

    place: str
    remote: bool

    def names(self) -> dict[str, int]:
        """{file name: bytes}. Raises HarnessError."""

    def read(self, name: str, offset: int, size: int) -> bytes:
        """May give fewer bytes at the file's end. Raises HarnessError."""


class Folder:
    remote = False

    def __init__(self, path: Path):
        self.path, self.place = path, str(path)
        self._open: dict[str, int] = {}

    def names(self) -> dict[str, int]:
        try:
            return {entry.name: entry.stat().st_size for entry in os.scandir(self.path) if entry.is_file()}
        except OSError as error:
            raise HarnessError(
                f"checkpoint {self.place}: {error.strerror or error}; name a checkpoint folder"
            ) from None

    def read(self, name: str, offset: int, size: int) -> bytes:
        try:
            if name not in self._open:
                self._open[name] = os.open(self.path / name, os.O_RDONLY)
            return os.pread(self._open[name], size, offset)
        except OSError as error:
            raise HarnessError(f"{self.path / name}: cannot be read ({error.strerror or error})") from None

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


@dataclass(frozen=True)
class Tensor:
    """`begin` counts from the file's first byte."""

    name: str
    dtype: str  # the container's: BF16, F8_E4M3, I32, ...
    shape: tuple[int, ...]
    file: str
    begin: int
    end: int

    @property
    def bytes(self) -> int:
        return self.end - self.begin

    @property
    def count(self) -> int:
        total = 1
        for size in self.shape:
            total *= size
        return total


@dataclass
class Container:
    """All tensors of a checkpoint by name, and what is wrong with its files."""

    files: Files
    tensors: dict[str, Tensor] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # of the safetensors files

    def json(self, name: str) -> JsonObject | None:
        """A JSON file beside the weights; None where there is none, a problem where it cannot be read."""
        size = self.files.names().get(name)
        if size is None:
            return None
        try:
            if size > strict_json.MOST_BYTES:
                raise ValueError(f"{size} bytes")
            return strict_json.parse_object(self.files.read(name, 0, size), infinity=True)
        except ValueError as error:
            self.problems.append(Problem("unreadable", name, f"not JSON ({error})", "download it again"))
            return None

    def data(self, tensor: Tensor, offset: int = 0, size: int | None = None) -> bytes:
        """`size` bytes (default: all) of a tensor from `offset`. Raises HarnessError where the file ends before."""
        size = tensor.bytes - offset if size is None else size
        found = self.files.read(tensor.file, tensor.begin + offset, size)
        if len(found) != size:
            raise HarnessError(f"{tensor.file}: ends inside {tensor.name}; download it again")
        return found


def open_container(files: Files) -> Container:
    names = files.names()
    container = Container(files)
    found = container.problems
    shards = sorted(name for name in names if name.endswith(".safetensors") and "/" not in name)
    # Mistral publishes the same weights twice, and an adapter is no model: what engines read is what counts.
    shards = [name for name in shards if not name.startswith(("consolidated", "adapter_"))] or shards
    index = container.json(INDEX)
    weight_map = (index or {}).get("weight_map") or {}
    if index is not None and not isinstance(weight_map, dict):
        found.append(Problem("unreadable", INDEX, "its weight_map is not an object", "download it again"))
        weight_map = {}
    if odd := next((tensor for tensor, file in weight_map.items() if not isinstance(file, str)), None):
        found.append(Problem("unreadable", INDEX, f"its weight_map has no file name for {odd}", "download it again"))
        weight_map = {tensor: file for tensor, file in weight_map.items() if isinstance(file, str)}
    if weight_map:
        wanted = sorted(set(weight_map.values()))
        for name in wanted:
            if name not in names:
                lacking = sum(file == name for file in weight_map.values())
                found.append(Problem("missing_shard", name, f"named by {INDEX} for {lacking} tensors, and not there",
                                     "download the checkpoint again"))  # fmt: skip
        shards = [name for name in wanted if name in names]
    else:
        found += list(_unnumbered(shards))
    if not shards and not weight_map:
        raise HarnessError(f"checkpoint {files.place}: no .safetensors files; name a complete Hugging Face checkpoint")
    for name in shards:
        container.sizes[name] = names[name]
        _read_header(container, name, names[name])
    for tensor, file in weight_map.items():
        if file in container.sizes and tensor not in container.tensors and not _broken(found, file):
            found.append(Problem("missing_tensor", tensor, f"{INDEX} says it is in {file}, whose header lacks it",
                                 "download that file again"))  # fmt: skip
    return container


def _broken(found: list[Problem], file: str) -> bool:
    return any(problem.where == file for problem in found)


def _unnumbered(shards: list[str]) -> Iterator[Problem]:
    """Shards say in their names how many there are; without an index that is all that is known."""
    groups: dict[tuple[str, int], set[int]] = {}
    for name in shards:
        if match := SHARD.match(name):
            groups.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    for (stem, total), have in groups.items():
        for number in sorted(set(range(1, min(total, 9999) + 1)) - have):
            name = f"{stem}-{number:05}-of-{total:05}.safetensors"
            yield Problem("missing_shard", name, "its siblings say it exists, and it is not there",
                          "download the checkpoint again")  # fmt: skip


def _read_header(container: Container, name: str, size: int) -> None:
    def wrong(code: str, what: str) -> None:
        container.problems.append(Problem(code, name, what, "download it again"))

    head = container.files.read(name, 0, 8)
    length = int.from_bytes(head, "little")
    if head.startswith(b"version "):
        return wrong("truncated", "the file is a Git LFS pointer")
    if len(head) < 8 or length + 8 > size:
        return wrong("truncated", f"{size} bytes, too few for its own header")
    if length > MAX_HEADER:
        return wrong("unreadable", f"a header of {length} bytes: this is no safetensors file")
    try:
        header = strict_json.parse_object(container.files.read(name, 8, length))
        header.pop("__metadata__", None)
        tensors = [_tensor(key, value, name, 8 + length) for key, value in header.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return wrong("unreadable", f"its header cannot be read ({error})")
    end = max((tensor.end for tensor in tensors), default=8 + length)
    if end > size:
        lost = [tensor.name for tensor in tensors if tensor.end > size]
        wrong(
            "truncated", f"{size} bytes where its header promises {end}: {len(lost)} tensors are cut, first {lost[0]}"
        )
        tensors = [tensor for tensor in tensors if tensor.end <= size]
    elif end < size:
        wrong("unreadable", f"{size - end} bytes beyond what its header names")
    for tensor in tensors:
        bits = BITS.get(tensor.dtype)
        if bits is None:
            container.problems.append(Problem("unreadable", tensor.name, f"dtype {tensor.dtype} is not known",
                                              "convert it to a dtype of safetensors"))  # fmt: skip
        elif tensor.count * bits != tensor.bytes * 8:
            wrong("unreadable", f"{tensor.name}: {tensor.bytes} bytes do not hold {tensor.dtype} {list(tensor.shape)}")
        else:
            if tensor.name in container.tensors:
                wrong("duplicate", f"{tensor.name} is in {container.tensors[tensor.name].file} too")
            container.tensors[tensor.name] = tensor
    return None


def _tensor(name: str, value: JsonObject, file: str, base: int) -> Tensor:
    if "\ufffd" in name:  # a lone surrogate (strict_json), which the safetensors library does not take
        raise ValueError(f"{name}: the name is not valid Unicode")
    begin, end = value["data_offsets"]
    shape = tuple(value["shape"])
    if not all(type(n) is int and 0 <= n < MAX_SIZE for n in (begin, end, *shape)) or end < begin or len(shape) > 64:
        raise ValueError(f"{name} has impossible offsets or shape")
    return Tensor(name, str(value["dtype"]), shape, file, base + begin, base + end)
