"""What the worker says, a JSON object a line (engines/gemm_worker/gemm_main.py), as typed events."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from harness.records.gemm_result import Absence
from harness.untrusted.strict_json import JsonObject


@dataclass(frozen=True)
class WorkerFacts:
    """The machine and the versions. What a device does not tell is None."""

    versions: dict[str, str | None]  # by package; None: not installed
    device_name: str | None = None  # of a GPU
    threads: int | None = None
    cuda: str | None = None
    cache_bytes: int | None = None
    bandwidth: float | None = None  # bytes/s, measured on a CPU
    peak: dict[str, float] = field(default_factory=dict)  # {number format: FLOP/s}, measured on a CPU

    @classmethod
    def from_event(cls, said: JsonObject) -> Self:
        measured = said.get("measured") or {}
        told = {name: said.get(name) for name in ("device_name", "threads", "cuda", "cache_bytes")}
        return cls(
            said.get("versions") or {}, **told, bandwidth=measured.get("bandwidth"), peak=measured.get("peak", {})
        )


@dataclass(frozen=True)
class TimedKernel:
    """One kernel of a number format at one batch size."""

    format: str
    kernel: str
    role: str  # engine | vendor
    note: str | None
    batch: int
    times_s: list[float]  # of a call, of each round
    calls: int  # of a round
    clock: str
    copies: int  # of the weights
    error: float | None  # relative, of the float64 product; None: not finite
    bound: float  # of the error, by what rounding explains

    @classmethod
    def from_event(cls, said: JsonObject) -> Self:
        return cls(**{name: said[name] for name in cls.__dataclass_fields__})

    @property
    def is_right(self) -> bool:
        return self.error is not None and self.error <= self.bound


@dataclass(frozen=True)
class LeftOut:
    """A kernel of a number format that is not here, or was too slow at a batch size."""

    format: str
    absence: Absence

    @classmethod
    def from_event(cls, said: JsonObject) -> Self:
        return cls(said["format"], Absence(kernel=said["kernel"], batch=said.get("batch"), reason=said["reason"]))


@dataclass
class Measured:
    """What the worker said of one layer, and how long it took."""

    layer: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    rows: list[TimedKernel] = field(default_factory=list)
    absent: list[LeftOut] = field(default_factory=list)
    skipped: list[LeftOut] = field(default_factory=list)

    def add(self, event: str, said: JsonObject) -> None:
        """Raises KeyError for an event that no worker says."""
        if event == "row":
            self.rows.append(TimedKernel.from_event(said))
        else:
            {"absent": self.absent, "skipped": self.skipped}[event].append(LeftOut.from_event(said))
