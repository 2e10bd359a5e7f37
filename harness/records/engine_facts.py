"""What served a cell: the engine's own facts, and what its log names. `engine` of a record."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Kernel:
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


@dataclass(frozen=True)
class LoggedScheme:
    """The layers that run one scheme, by the engine's log; `names` are compact."""

    layers: int
    names: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        if not isinstance(stored, Mapping):  # a count alone
            return cls(int(stored or 0))
        return cls(int(stored.get("layers") or 0), tuple(stored.get("names") or ()))


@dataclass(frozen=True)
class ServedCheckpoint:
    """The checkpoint that an engine served; `size_bytes`: of its weights."""

    reference: str | None = None
    revision: str | None = None
    digest: str | None = None
    size_bytes: int | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(*(stored.get(name) for name in ("reference", "revision", "digest", "size_bytes")))


@dataclass(frozen=True)
class EngineFacts:
    """Empty where no engine is recorded. What the log does not name is absent, and older records have less."""

    kind: str = ""
    version: str = ""
    command: tuple[str, ...] | str = ()
    log: str | None = None  # path of its file
    kernels: tuple[Kernel, ...] = ()
    schemes: dict[str, LoggedScheme] = field(default_factory=dict)
    attention: tuple[str, ...] = ()  # backends
    kv_cache_dtype: str | None = None
    quantization: str | None = None  # the engine's method; "none": it logged that it uses none
    checkpoint: ServedCheckpoint | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self:
        stored = stored or {}
        command, checkpoint = stored.get("command") or (), stored.get("checkpoint")
        schemes = stored.get("schemes")
        return cls(
            kind=str(stored.get("kind") or ""),
            version=str(stored.get("version") or ""),
            command=tuple(map(str, command)) if isinstance(command, list | tuple) else str(command),
            log=stored.get("log"),
            kernels=_kernels(stored.get("kernels") or ()),
            schemes={name: LoggedScheme.from_json(entry) for name, entry in schemes.items()}
            if isinstance(schemes, Mapping)
            else {},
            attention=tuple(stored.get("attention") or ()),
            kv_cache_dtype=stored.get("kv_cache_dtype"),
            quantization=stored.get("quantization"),
            checkpoint=ServedCheckpoint.from_json(checkpoint) if checkpoint else None,
        )

    @property
    def recorded(self) -> bool:
        return self != EngineFacts()

    @property
    def label(self) -> str:
        """Name the engine for readers: ``vllm 0.32.0``."""
        return f"{self.kind} {self.version}".strip()

    @property
    def command_text(self) -> str:
        """The server command as a shell would take it; an API key in it is never shown."""
        text = self.command if isinstance(self.command, str) else shlex.join(self.command)
        return re.sub(r"(--api-key[ =])\S+", r"\1***", text)


def _kernels(stored: Any) -> tuple[Kernel, ...]:
    """A list of {"layer", "kernel", "emulated"}, or {layer: kernel or such an object}."""
    if isinstance(stored, Mapping):
        stored = [{"layer": k, **(v if isinstance(v, Mapping) else {"kernel": v})} for k, v in stored.items()]
    return tuple(map(Kernel.from_json, stored))
