"""A study: what a sweep meant to measure, what it measured, and what is missing. Built from the store, never changed.

`build_study` is the only way to make one.
A record belongs to a cell when their keys agree and, where both carry one, their fingerprints: a record of an older
configuration is not this study's number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from harness.analysis.settings import Checks, DecisionSettings, Settings, read_checks, read_decision, read_settings
from harness.analysis.to_come import ToCome
from harness.records import Damage
from harness.records.accuracy_result import AccuracyResult
from harness.records.cell import Cell
from harness.records.engine_facts import EngineFacts
from harness.records.failed_cell import FailedCell
from harness.records.fields import Json
from harness.records.flag import Flag
from harness.records.host_facts import HostFacts
from harness.records.interference import Interference
from harness.records.item import Item, TextWindow
from harness.records.load_result import CapacityResult, LoadResult
from harness.records.manifest import LeftOut, Manifest, Published, Scenario, Variant
from harness.records.phase import PhaseTime
from harness.records.placement import Placement
from harness.records.record import Record
from harness.records.request import Request
from harness.records.result import Result
from harness.records.telemetry import Telemetry
from harness.records.usage import Cost, SpentBeside, Usage

Rows = Callable[[Record], list[Json]]


@dataclass(frozen=True)
class Measured:
    """A cell that has its record."""

    cell: Cell
    result: Result
    flags: tuple[Flag, ...] = ()
    engine: EngineFacts = field(default_factory=EngineFacts)
    host: HostFacts = HostFacts()
    inputs: dict[str, Any] = field(default_factory=dict)
    started_at: str = ""
    duration_s: float | None = None
    harness: str = ""
    derived: Mapping[str, float] = field(default_factory=dict)  # metrics of its rows that its result does not hold
    load_rows: Callable[[], list[Json]] = field(default=list, repr=False, compare=False)
    telemetry: Telemetry = field(default_factory=Telemetry)
    usage: Usage = Usage()  # requests and tokens, as the server counted them
    cost: Cost | None = None  # what they cost, where they have a price
    placement: Placement | None = None  # None: alone, in the process that wrote the store

    @property
    def scored(self) -> AccuracyResult:
        """The result of an accuracy or judge cell."""
        return self.result if isinstance(self.result, AccuracyResult) else AccuracyResult()

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """The numbers of a load cell that are known, by name: ``itl_ms_p99``."""
        known = self.result.metrics if isinstance(self.result, LoadResult | CapacityResult) else {}
        return {**self.derived, **known} if self.derived else known

    @property
    def traffic(self) -> dict[str, Any]:
        """What tells the requests of a load cell from others: the shape of its scenario and the digest of its text."""
        scenario = self.inputs.get("scenario")
        return scenario if isinstance(scenario, dict) else {}

    def items(self) -> list[Item]:
        """Load the rows of an accuracy or judge cell."""
        return [Item.from_json(row) for row in self.load_rows()]

    def requests(self) -> list[Request]:
        """Load the rows of a load cell."""
        return [Request.from_json(row) for row in self.load_rows()]

    def windows(self) -> list[TextWindow]:
        """Load the rows of a cell that scored a text."""
        return [TextWindow.from_json(row) for row in self.load_rows()]

    @property
    def valid(self) -> bool:
        return not any(flag.invalid for flag in self.flags)


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
    seed: int
    published: tuple[Published, ...]
    command: str
    config: dict[str, Any]
    host: HostFacts
    harness: str
    data: str
    measured: tuple[Measured, ...]  # in the manifest's order
    missing: tuple[Cell, ...]  # neither measured nor failed
    failures: tuple[Failure, ...]
    settings: Settings = field(default_factory=Settings)
    checks: Checks = field(default_factory=Checks)
    decision: DecisionSettings = field(default_factory=DecisionSettings)
    left_out: tuple[LeftOut, ...] = ()  # not supported on this machine
    spent: tuple[SpentBeside, ...] = ()  # what an endpoint took for no record
    damaged: tuple[Damage, ...] = ()  # stored, and left out
    to_come: ToCome | None = None  # while the sweep runs
    interference: Interference | None = None  # of the machine whose sessions ran at once
    phases: tuple[PhaseTime, ...] = ()  # of its runs on this machine, in the order in which they ended

    @property
    def margin(self) -> float:
        """The non-inferiority margin on recovery."""
        return self.decision.margin

    @property
    def compared(self) -> tuple[str, ...]:
        """The variants other than the baseline, in the sweep's order."""
        return tuple(name for name in self.variants if name != self.baseline)

    @property
    def forms(self) -> tuple[str, ...]:
        """Those of `compared` that are another form of the model, with their own suites: no mere deployments."""
        return tuple(name for name in self.compared if self.variants[name].accuracy_of is None)

    @property
    def gpus_differ(self) -> bool:
        return len({variant.gpus for variant in self.variants.values()}) > 1

    def label(self, variant: str) -> str:
        return self.variants[variant].label if variant in self.variants else variant

    def with_scores_of_their_own(self, *names: str) -> "Study":
        """These variants alone, deployments among them with the suites of the variant whose scores they have."""
        variants, measured = {}, []
        for name in names:
            variant = self.variants[name]
            variants[name] = replace(variant, accuracy_of=None)
            measured += [replace(m, cell=replace(m.cell, variant=name)) for m in self.measured if variant.has(m.cell)]
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
    manifest: Manifest,
    records: Sequence[Record],
    rows: Rows,
    failures: Sequence[FailedCell],
    spent: Sequence[SpentBeside] = (),
    damaged: Sequence[Damage] = (),
) -> Study:
    """`rows(record)` loads a record's rows; it is called only for the cells whose rows an analysis needs."""
    by_key: dict[str, list[Record]] = {}
    for record in records:
        by_key.setdefault(record.cell.key, []).append(record)
    matched = ((cell, _match(cell, by_key.get(cell.key, ()))) for cell in manifest.cells)
    measured = tuple(_measured(cell, record, rows) for cell, record in matched if record is not None)
    have = {m.cell.key for m in measured}
    cell_of = {cell.key: cell for cell in manifest.cells}
    failed = tuple(Failure(cell_of.get(f.key), f.key, f.error, f.log) for f in failures if f.key not in have)
    failed_keys = {failure.key for failure in failed}
    return Study(
        name=manifest.name,
        description=manifest.description,
        baseline=manifest.baseline,
        variants=manifest.variants,
        suites=manifest.suites,
        scenarios=manifest.scenarios,
        seed=manifest.seed,
        published=manifest.published,
        command=manifest.command,
        config=manifest.config,
        host=manifest.host,
        harness=manifest.harness,
        data=manifest.data,
        measured=measured,
        missing=tuple(cell for cell in manifest.cells if cell.key not in have and cell.key not in failed_keys),
        failures=failed,
        settings=read_settings(manifest.report),
        checks=read_checks(manifest.checks),
        decision=read_decision(manifest.decision, manifest.margin),
        left_out=manifest.left_out,
        interference=manifest.interference,
        spent=tuple(spent),
        damaged=tuple(damaged),
    )


def _match(cell: Cell, records: Sequence[Record]) -> Record | None:
    """The record of a cell; the newest one when there are several."""
    fitting = [
        record
        for record in records
        if not cell.fingerprint or not record.fingerprint or cell.fingerprint == record.fingerprint
    ]
    return max(fitting, key=lambda record: record.started_at, default=None)


def _measured(cell: Cell, record: Record, rows: Rows) -> Measured:
    return Measured(
        cell=cell,
        result=record.result,
        flags=record.flags,
        engine=record.engine,
        host=record.host,
        inputs=record.inputs,
        telemetry=record.telemetry or Telemetry(),
        started_at=record.started_at,
        duration_s=record.duration_s,
        harness=record.harness,
        load_rows=lambda: rows(record),
        usage=record.usage or Usage(),
        cost=record.cost,
        placement=record.placement,
    )
