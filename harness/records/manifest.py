"""The manifest of a sweep (sweep.json): what it meant to measure. With the records, all that a report needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from harness.records.cell import Cell
from harness.records.fields import Json, Stored, optional
from harness.records.host_facts import HostFacts
from harness.records.interference import Interference

WHOLE_VARIANT = "variant"  # LeftOut.part


@dataclass(frozen=True)
class Variant(Stored):
    """A variant as readers need it. Of its scheme: the words of config/schemes.py."""

    name: str
    label: str
    weights: str = ""
    activations: str = ""
    sparsity: str | None = None
    kv_cache: str | None = None
    checkpoint: str = ""
    load_checkpoint: str | None = None  # whose rates were measured, where it is another one
    checkpoint_bytes: int | None = None  # known once a cell was measured: in its record
    gpus: int = 1
    deployment_of: str | None = None  # the variant that this one serves in another way
    deployment: dict[str, Any] = field(default_factory=dict)  # {axis: value}, as far as the sweep says it
    accuracy_of: str | None = None  # the variant whose scores this one has; its suites are not run
    emulated: str | None = None  # why its number format is known not to run natively on the sweep's device

    def has(self, cell: Cell) -> bool:
        """Whether what is measured in `cell` is this variant's: its own cells, and the suites of `accuracy_of`."""
        return cell.variant == ((self.accuracy_of if cell.suite else None) or self.name)

    def to_json(self) -> Json:
        scheme = {name: getattr(self, name) for name in _SCHEME}
        others = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("name", "label", *_SCHEME)}
        return {"label": self.label, "scheme": scheme, **others}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read a variant with its `name`, which a manifest has as its key."""
        return super().from_json({"label": stored["name"], **(stored.get("scheme") or {}), **stored})


_SCHEME = ("weights", "activations", "sparsity", "kv_cache")


@dataclass(frozen=True)
class Scenario(Stored):
    """`slo` holds the limits in milliseconds, {"itl_ms_p99": 50.0, ...}; readers get only those that are set."""

    name: str
    prompt_tokens: int
    output_tokens: int
    slo: dict[str, float]
    tiers: dict[str, dict[str, float]] = field(default_factory=dict)  # more objectives, of the same form

    def to_json(self) -> Json:
        shape = {"prompt_tokens": self.prompt_tokens, "output_tokens": self.output_tokens}
        return {**shape, "slo": self.slo, **({"tiers": self.tiers} if self.tiers else {})}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read a scenario with its `name`, which a manifest has as its key."""
        tiers = {tier: _limits(given) for tier, given in (stored.get("tiers") or {}).items()}
        return super().from_json({**stored, "slo": _limits(stored.get("slo")), "tiers": tiers})


def _limits(stored: Mapping[str, float | None] | None) -> dict[str, float]:
    return {key: float(limit) for key, limit in (stored or {}).items() if limit is not None}


@dataclass(frozen=True)
class LeftOut(Stored):
    """What a sweep asks for and does not measure on this machine."""

    part: str  # WHOLE_VARIANT | gemm: its products in the GEMM study
    variant: str
    label: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Published(Stored):
    """A figure of somebody else's study: a suite's score, or a number of analysis/scalars.py."""

    variant: str
    suite: str | None = optional()
    metric: str | None = optional()
    value: float
    against: str | None = optional()  # the variant that a speed-up is over; None: the baseline
    gpu: str | None = optional()  # a pattern for the names of the GPUs that it is of
    source: str


@dataclass(frozen=True)
class Manifest(Stored):
    """The last plan of a sweep and its resolved configuration."""

    name: str
    baseline: str
    variants: dict[str, Variant]
    description: str = ""
    suites: tuple[str, ...] = ()
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    margin: float = 0.01  # non-inferiority margin on recovery
    published: tuple[Published, ...] = ()
    report: dict[str, Any] = field(default_factory=dict)  # analysis/settings.py reads it
    checks: dict[str, Any] = field(default_factory=dict)  # and this
    decision: dict[str, Any] = field(default_factory=dict)  # and this
    left_out: tuple[LeftOut, ...] = ()  # not supported on this machine
    command: str = ""
    config: dict[str, Any] = field(default_factory=dict)  # resolved, as Hydra composed it
    cells: tuple[Cell, ...] = ()
    host: HostFacts = HostFacts()
    harness: str = ""  # version
    data: str = ""  # hub, or the root of the data
    revisions: dict[str, str | None] = field(default_factory=dict)  # models and texts on the hub: their commits
    interference: Interference | None = optional()  # of the machine whose sessions ran at once

    @property
    def seed(self) -> int:
        return int(self.config.get("seed") or 0)

    def to_json(self) -> Json:
        return {"name": self.name, "description": self.description, **super().to_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read a manifest that manifest_check.py finds no fault in; older ones lack fields."""
        named = {part: _named(stored[part]) for part in ("variants", "scenarios")}
        return super().from_json({**stored, **named})


def _named(stored: Mapping[str, Json]) -> dict[str, Json]:
    return {name: {**one, "name": name} for name, one in stored.items()}
