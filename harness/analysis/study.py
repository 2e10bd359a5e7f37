"""A study: what a sweep meant to measure, what it measured, and what is missing. Built from the store, never changed.

`build_study` is the only door: plain dicts of the store go in (records.py has their form), frozen dataclasses come out.
A record belongs to a cell when their keys agree and, where both carry one, their fingerprints: a record of an older
configuration is not this study's number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.analysis.settings import Checks, Settings, read_checks, read_settings
from harness.records import Damage, LeftOut
from harness.records.cell import Cell

Rows = Callable[[dict[str, Any]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Variant:
    name: str
    label: str
    weights: str
    activations: str
    sparsity: str | None
    checkpoint: str
    checkpoint_bytes: int | None
    gpus: int = 1
    deployment_of: str | None = None  # the variant that this one serves in another way
    load_checkpoint: str | None = None  # whose rates were measured, where it is another one
    deployment: dict[str, Any] = field(default_factory=dict)  # {axis: value}, as far as the sweep says it
    accuracy_of: str | None = None  # the variant whose suites stand for this one's, which are not measured
    emulated: str | None = None  # why its number format is known not to run natively on the sweep's device


@dataclass(frozen=True)
class Scenario:
    """`slo` holds only the limits that are set: {"itl_ms_p99": 50.0, ...}, milliseconds."""

    name: str
    prompt_tokens: int
    output_tokens: int
    slo: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """A cell that has its record."""

    cell: Cell
    result: dict[str, Any]
    flags: tuple[dict[str, str], ...]
    engine: dict[str, Any]
    host: dict[str, Any]
    inputs: dict[str, Any]
    started_at: str
    duration_s: float | None
    harness: str
    load_rows: Callable[[], list[dict[str, Any]]] = field(repr=False, compare=False)
    telemetry: dict[str, Any] = field(default_factory=dict)  # empty: none
    usage: dict[str, Any] = field(default_factory=dict)  # requests and tokens, as the server counted them
    cost: dict[str, Any] | None = None  # what they cost, where they have a price

    @property
    def valid(self) -> bool:
        return not any(flag["level"] == "invalid" for flag in self.flags)


@dataclass(frozen=True)
class Failure:
    cell: Cell | None
    key: str
    error: str
    log: str | None


@dataclass(frozen=True)
class Study:
    name: str
    description: str
    baseline: str
    variants: dict[str, Variant]
    suites: tuple[str, ...]
    scenarios: dict[str, Scenario]
    margin: float  # non-inferiority margin on recovery
    seed: int
    published: tuple[dict[str, Any], ...]
    command: str
    config: dict[str, Any]
    host: dict[str, Any]
    harness: str
    data: str
    measured: tuple[Measured, ...]  # in the manifest's order
    missing: tuple[Cell, ...]  # neither measured nor failed
    failures: tuple[Failure, ...]
    settings: Settings = field(default_factory=Settings)
    checks: Checks = field(default_factory=Checks)
    left_out: tuple[LeftOut, ...] = ()  # not supported on this machine
    spent: tuple[dict[str, Any], ...] = ()  # what an endpoint took for no record: {what, usage, cost}
    damaged: tuple[Damage, ...] = ()  # stored, and left out

    @property
    def compared(self) -> tuple[str, ...]:
        """The variants other than the baseline, in the sweep's order."""
        return tuple(name for name in self.variants if name != self.baseline)

    @property
    def forms(self) -> tuple[str, ...]:
        """Those of `compared` that are another form of the model, with suites of their own: no mere deployments."""
        return tuple(name for name in self.compared if self.variants[name].accuracy_of is None)

    @property
    def gpus_differ(self) -> bool:
        return len({variant.gpus for variant in self.variants.values()}) > 1

    def label(self, variant: str) -> str:
        return self.variants[variant].label if variant in self.variants else variant

    def with_scores_of_their_own(self, *names: str) -> "Study":
        """These variants alone, deployments among them with the suites of the variant that stands for them."""
        variants, measured = {}, []
        for name in names:
            variant = self.variants[name]
            variants[name] = replace(variant, accuracy_of=None)
            for m in self.measured:
                if m.cell.variant == ((variant.accuracy_of if m.cell.suite else None) or name):
                    measured.append(replace(m, cell=replace(m.cell, variant=name)))
        return replace(self, variants=variants, measured=tuple(measured))

    def find(self, kind: str, variant: str, subject: str) -> tuple[Measured, ...]:
        """Measured cells of a variant and a suite or scenario, by repeat."""
        found = [
            m
            for m in self.measured
            if m.cell.kind == kind and m.cell.variant == variant and subject in (m.cell.suite, m.cell.scenario)
        ]
        return tuple(sorted(found, key=lambda m: m.cell.repeat))


def build_study(
    manifest: dict[str, Any],
    records: list[dict[str, Any]],
    rows: Rows,
    failures: list[dict[str, Any]],
    spent: Sequence[dict[str, Any]] = (),
    damaged: Sequence[Damage] = (),
) -> Study:
    """`rows(record)` loads a record's rows; it is called only for the cells whose rows an analysis needs."""
    cells = [Cell.from_json(cell) for cell in manifest["cells"]]
    by_key = {}
    for record in records:
        by_key.setdefault(record["cell"]["key"], []).append(record)
    measured = tuple(_measured(cell, record, rows) for cell in cells if (record := _match(cell, by_key)) is not None)
    have = {m.cell.key for m in measured}
    cell_of = {cell.key: cell for cell in cells}
    failed = tuple(
        Failure(cell_of.get(f["key"]), f["key"], str(f.get("error", "")), f.get("log"))
        for f in failures
        if f["key"] not in have
    )
    failed_keys = {failure.key for failure in failed}
    config = manifest.get("config") or {}
    return Study(
        name=manifest["name"],
        description=manifest.get("description") or "",
        baseline=manifest["baseline"],
        variants={name: _variant(name, v) for name, v in manifest["variants"].items()},
        suites=tuple(manifest["suites"]),
        scenarios={name: _scenario(name, s) for name, s in manifest["scenarios"].items()},
        margin=float(manifest.get("margin", 0.01)),
        seed=int(config.get("seed") or 0),
        published=tuple(manifest.get("published") or ()),
        command=manifest.get("command") or "",
        config=config,
        host=manifest.get("host") or {},
        harness=str(manifest.get("harness") or ""),
        data=str(manifest.get("data") or ""),
        measured=measured,
        missing=tuple(cell for cell in cells if cell.key not in have and cell.key not in failed_keys),
        failures=failed,
        settings=read_settings(manifest.get("report")),
        checks=read_checks(manifest.get("checks")),
        left_out=tuple(LeftOut(**entry) for entry in manifest.get("left_out") or ()),
        spent=tuple(spent),
        damaged=tuple(damaged),
    )


def _match(cell: Cell, by_key: dict[str, list[dict[str, Any]]]) -> dict[str, Any] | None:
    """The record of a cell; the newest one when there are several."""
    fitting = [
        record
        for record in by_key.get(cell.key, [])
        if not cell.fingerprint or not record.get("fingerprint") or cell.fingerprint == record["fingerprint"]
    ]
    return max(fitting, key=lambda record: record.get("started_at") or "", default=None)


def _measured(cell: Cell, record: dict[str, Any], rows: Rows) -> Measured:
    return Measured(
        cell=cell,
        result=record.get("result") or {},
        flags=tuple(record.get("flags") or ()),
        engine=record.get("engine") or {},
        host=record.get("host") or {},
        inputs=record.get("inputs") or {},
        telemetry=record.get("telemetry") or {},
        started_at=record.get("started_at") or "",
        duration_s=record.get("duration_s"),
        harness=str(record.get("harness") or ""),
        load_rows=lambda: rows(record),
        usage=record.get("usage") or {},
        cost=record.get("cost"),
    )


def _variant(name: str, variant: dict[str, Any]) -> Variant:
    scheme = variant.get("scheme") or {}
    return Variant(
        name=name,
        label=variant.get("label") or name,
        weights=scheme.get("weights") or "",
        activations=scheme.get("activations") or "",
        sparsity=scheme.get("sparsity"),
        checkpoint=str(variant.get("checkpoint") or ""),
        checkpoint_bytes=variant.get("checkpoint_bytes"),
        gpus=int(variant.get("gpus") or 1),
        deployment_of=variant.get("deployment_of"),
        load_checkpoint=variant.get("load_checkpoint"),
        deployment=variant.get("deployment") or {},
        accuracy_of=variant.get("accuracy_of"),
        emulated=variant.get("emulated"),
    )


def _scenario(name: str, scenario: dict[str, Any]) -> Scenario:
    slo = {key: float(limit) for key, limit in (scenario.get("slo") or {}).items() if limit is not None}
    return Scenario(name, scenario["prompt_tokens"], scenario["output_tokens"], slo)
