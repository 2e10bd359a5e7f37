"""What served a cell: the engine's own facts, and what its log names. `engine` of a record."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from harness.records.fields import Stored


@dataclass(frozen=True)
class Kernel(Stored):
    """What the engine runs for one kind of layer."""

    layer: str
    kernel: str
    emulated: bool = False
    activations: str = ""  # their format, where it is not the one that the layer's scheme names

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        known = stored if isinstance(stored, Mapping) else {"kernel": stored}
        return cls(
            str(known.get("layer", "")),
            str(known.get("kernel", "")),
            bool(known.get("emulated")),
            str(known.get("activations") or ""),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"layer": self.layer, "kernel": self.kernel, "emulated": self.emulated}
        return found | ({"activations": self.activations} if self.activations else {})


@dataclass(frozen=True)
class LoggedScheme(Stored):
    """The layers that run one scheme, by the engine's log; `names` are compact."""

    layers: int
    names: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        if not isinstance(stored, Mapping):  # a count alone
            return cls(int(stored or 0))
        return cls(int(stored.get("layers") or 0), tuple(stored.get("names") or ()))

    def to_json(self) -> dict[str, Any]:
        return {"layers": self.layers, "names": list(self.names)}


@dataclass(frozen=True)
class ServedCheckpoint(Stored):
    """The checkpoint that an engine served; `size_bytes`: of its weights; `holds`: what is in its files."""

    reference: str | None = None
    location: str | None = None
    revision: str | None = None
    size_bytes: int | None = None
    digest: str | None = None
    holds: Any = None


@dataclass(frozen=True)
class EngineFacts(Stored):
    """Empty where no engine is recorded. What the log does not name is absent, and older records have less."""

    kind: str = ""
    device: str | None = None
    command: tuple[str, ...] | str = ()
    log: str | None = None  # path of its file
    ready_s: float | None = None  # from its start until it answered
    version: str = ""
    dtype: str | None = None
    kernels: tuple[Kernel, ...] = ()
    names_schemes: bool = False  # whether its log names the schemes of layers, if only to name none
    schemes: dict[str, LoggedScheme] = field(default_factory=dict)
    attention: tuple[str, ...] = ()  # backends
    kv_cache_dtype: str | None = None
    quantization: str | None = None  # the engine's method; "none": it logged that it uses none
    max_model_len: int | None = None  # where the server does not list it
    checkpoint: ServedCheckpoint | None = None
    more: Mapping[str, Any] = field(default_factory=dict)  # what one kind of engine alone tells

    def to_json(self) -> dict[str, Any]:
        """Return the form of a record: `kernels` and `command` always, others where they are known."""
        return {
            "kind": self.kind,
            **_known(device=self.device),
            "command": self.command if isinstance(self.command, str) else list(self.command),
            **_known(log=self.log, ready_s=self.ready_s, version=self.version or None, dtype=self.dtype),
            "kernels": [kernel.to_json() for kernel in self.kernels],
            **({"schemes": {n: s.to_json() for n, s in self.schemes.items()}} if self.names_schemes else {}),
            **({"attention": list(self.attention)} if self.attention else {}),
            **_known(quantization=self.quantization, kv_cache_dtype=self.kv_cache_dtype),
            **_known(max_model_len=self.max_model_len),
            **self.more,
            **({"checkpoint": self.checkpoint.to_json()} if self.checkpoint else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self:
        stored = stored or {}
        command, checkpoint = stored.get("command") or (), stored.get("checkpoint")
        schemes = stored.get("schemes")
        return cls(
            kind=str(stored.get("kind") or ""),
            device=stored.get("device"),
            version=str(stored.get("version") or ""),
            ready_s=stored.get("ready_s"),
            dtype=stored.get("dtype"),
            command=tuple(map(str, command)) if isinstance(command, list | tuple) else str(command),
            log=stored.get("log"),
            kernels=_kernels(stored.get("kernels") or ()),
            names_schemes=schemes is not None,
            schemes={name: LoggedScheme.from_json(entry) for name, entry in schemes.items()}
            if isinstance(schemes, Mapping)
            else {},
            attention=tuple(stored.get("attention") or ()),
            kv_cache_dtype=stored.get("kv_cache_dtype"),
            quantization=stored.get("quantization"),
            max_model_len=stored.get("max_model_len"),
            checkpoint=ServedCheckpoint.from_json(checkpoint) if checkpoint else None,
            more={name: value for name, value in stored.items() if name not in cls.__dataclass_fields__},
        )

    @property
    def recorded(self) -> bool:
        return self != EngineFacts()

    @property
    def label(self) -> str:
        """Name the engine for readers: ``vllm 0.32.0``."""
        return f"{self.kind} {self.version}".strip()

    @cached_property
    def command_text(self) -> str:
        """The server command as a shell would take it; an API key in it is never shown."""
        text = self.command if isinstance(self.command, str) else shlex.join(self.command)
        return re.sub(r"(--api-key[ =])\S+", r"\1***", text)


def _known(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _kernels(stored: Any) -> tuple[Kernel, ...]:
    """A list of {"layer", "kernel", "emulated"}, or {layer: kernel or such an object}."""
    if isinstance(stored, Mapping):
        stored = [{"layer": k, **(v if isinstance(v, Mapping) else {"kernel": v})} for k, v in stored.items()]
    return tuple(map(Kernel.from_json, stored))
