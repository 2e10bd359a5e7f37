"""The phases of a plan that are still ahead, each with its seconds by the rules of thumb."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from harness.checkpoints import source
from harness.gemm import GEMM
from harness.machine import host
from harness.records.cell import Cell, PlannedCell
from harness.records.phase import CHECKPOINT, ENVIRONMENT, REPORT, START, WARM_UP, Phase
from harness.records.record import Record
from harness.records.store import Store
from harness.sweeps.estimates import rules
from harness.sweeps.estimates.device import Device
from harness.sweeps.estimates.load_rules import conversation_tokens
from harness.sweeps.estimates.pace import Answer, Pace
from harness.sweeps.kinds import KINDS
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.retries import to_measure
from harness.sweeps.session import JUDGE, VARIANT, Session

IMPORT = "import"  # group of a CHECKPOINT phase
BESIDE = "beside the engine's"  # group of an ENVIRONMENT phase: what is left of it when the engine's is ready
COMPRESSION = "compression"  # subject of an ENVIRONMENT phase; the engine's has its kind
GEMM_START_S = 15.0  # of the worker


@dataclass(frozen=True)
class Phases:
    """Names and estimates the phases of one plan."""

    prepared: Prepared
    answers: Mapping[str, Answer] = field(default_factory=dict)  # by session: device.py

    @cached_property
    def device(self) -> Device:
        return Device(self.prepared, self.answers)

    @cached_property
    def machine(self) -> str:
        return digest(host.identity(host.gpus_for(self.prepared.engine)))

    @cached_property
    def engine(self) -> str:
        engine = self.prepared.engine
        return " ".join(filter(None, (engine.kind, engine.version, engine.device)))

    def _engine(self, session: Session | None) -> str:
        """Return what a session's pace follows from; servers of other people have nothing in common."""
        target = self.prepared.engine.target(session.served.name) if session and session.served else None
        return self.engine if target is None else f"{self.engine} {digest(target.base_url)}"

    def ahead(self, plan: Plan, store: Store) -> list[Phase]:
        """Return what a run would do now, in order."""
        found: dict[str, Phase] = {}
        pending = {session.name: to_measure(session.cells, store) for session in plan.sessions}
        first = first_of_each_suite([cell for cells in pending.values() for cell in cells])
        before: list[PlannedCell] = []
        for session in plan.sessions:
            if cells := pending[session.name]:
                pace = self.device.pace(session)
                made_beside = self._is_made_beside(before, session, environment_key(COMPRESSION) in found)
                preparation = [one for one in self.preparation(session) if not (made_beside and _is_compression(one))]
                before = cells
                phases = [*preparation, *self.beginning(session, cells, pace)]
                phases += [self.cell(session, cell, pace, cell.key in first) for cell in cells]
                for phase in phases:
                    found.setdefault(phase.key, phase)  # what an earlier session makes is made
        report = self._phase(REPORT, "", rule_s=rules.report_s(len(plan.cells)))
        return [*found.values(), report]

    def _is_made_beside(self, before: Sequence[PlannedCell], session: Session, installed: bool) -> bool:
        """Whether a session's checkpoint is made while cells of the session before, which measure no time, run;
        `installed`: an earlier session needs the compression environment too."""
        prepared = self.prepared
        suites = any(not KINDS[cell.kind].times for cell in before)
        possible = suites and prepared.executor.serial and (installed or prepared.workshop.has_environment())
        return possible and self.device.may_make_beside(session.checkpoint)

    def measured(self, plan: Plan, records: Mapping[str, Record]) -> Iterator[tuple[Phase, float]]:
        """Yield what records, by the keys of their cells, tell: the cells and the starts of engines, in seconds."""
        for session in plan.sessions:
            cells = [cell for cell in session.cells if cell.key in records]
            pace, first = self.device.pace(session), first_of_each_suite(session.cells)
            ready_s = next((ready for cell in cells if (ready := records[cell.key].engine.ready_s)), None)
            if ready_s:
                yield from ((phase, ready_s) for phase in self.beginning(session, cells, pace) if phase.kind == START)
            for cell in cells:
                yield self.cell(session, cell, pace, cell.key in first), records[cell.key].duration_s or 0.0

    def preparation(self, session: Session) -> Iterator[Phase]:
        """Yield the environments and checkpoints that are to be made first."""
        engine, workshop = self.prepared.engine, self.prepared.workshop
        installs = not engine.is_ready()
        if installs:
            yield self._environment(session, engine.kind, engine.install_s)
        imported = [reference for reference in needed(self.prepared, session) if self._is_to_be_imported(reference)]
        recipe = session.recipe if engine.loads_weights else None
        compresses = recipe is not None and not workshop.is_made(session.checkpoint, recipe)
        if (imported or compresses) and not workshop.has_environment():
            beside = engine.loads_weights and installs  # both are installed at the same time
            rest_s = rules.COMPRESSION_INSTALL_S - (engine.install_s if beside else 0.0)
            known = self._environment(session, COMPRESSION, max(rest_s, rules.BESIDE_S))
            yield replace(known, group=BESIDE if beside else "")
        for reference in imported:
            yield self._checkpoint(session, reference, IMPORT, rules.import_s(self.device.weights(reference)))
        if compresses and recipe is not None:
            weights = self.device.weights(session.checkpoint)
            rule_s = rules.compress_s(recipe, weights, on_gpu=bool(host.gpus()) or not self.device.on_cpu)
            rule_s += 0.0 if self.device.is_downloaded(session.checkpoint) else rules.download_s(weights)
            yield self._checkpoint(session, session.checkpoint, " ".join(rules.methods_of(recipe)), rule_s)

    def _is_to_be_imported(self, reference: str) -> bool:
        return source(reference).import_spec() is not None and not self.prepared.workshop.is_made(reference, None)

    def beginning(self, session: Session, cells: Sequence[PlannedCell], pace: Pace) -> Iterator[Phase]:
        """Yield the start of the engine, and the warm-up before load cells."""
        engine, config = self.prepared.engine, self.prepared.config
        if session.kind == JUDGE and session.served is None:
            return
        start_s = engine.start_s if session.kind != GEMM else GEMM_START_S
        if engine.loads_weights:
            weights = self.device.weights(session.checkpoint)
            made_here = session.recipe is not None or self.device.is_downloaded(session.checkpoint)
            start_s += rules.read_s(weights) + (0.0 if made_here else rules.download_s(weights))
        yield self._phase(START, session.name, session, rule_s=start_s)
        load = next((cell for cell in cells if cell.scenario), None)
        if load is not None and config.load.warmup_requests > 0:
            alone_s = pace.request_s(*conversation_tokens(config.scenarios[load.scenario_name]))
            yield self._phase(WARM_UP, session.name, session, rule_s=rules.WARM_UP_S + 2 * alone_s)

    def cell(self, session: Session, cell: Cell, pace: Pace, first: bool) -> Phase:
        rule_s = KINDS[cell.kind].seconds(cell, self.prepared, pace, first)
        group = cell.point.profile if cell.point else ""
        known = replace(self._phase(cell.kind, cell.key, session, rule_s), group=group, subject=subject(cell))
        return replace(known, key=cell.key, variant=cell.variant)

    def _environment(self, session: Session, name: str, rule_s: float) -> Phase:
        found = self._phase(ENVIRONMENT, name, rule_s=rule_s)
        return replace(found, subject=name, session=session.name, engine="")

    def _checkpoint(self, session: Session, reference: str, group: str, rule_s: float) -> Phase:
        made = digest([reference, session.recipe if group != IMPORT else None])
        found = replace(self._phase(CHECKPOINT, made, session, rule_s), model=digest(reference))
        return replace(found, group=group, variant="", engine="")

    def _phase(self, kind: str, name: str, session: Session | None = None, rule_s: float = 0.0) -> Phase:
        model = session.checkpoint if session and session.kind == JUDGE else self.prepared.config.model
        return Phase(
            kind=kind,
            key=f"{kind} {name}".strip(),
            session=session.name if session else "",
            variant=(session.variant or "") if session else "",
            engine=self._engine(session),
            model=digest(model),
            machine=self.machine,
            rule_s=round(rule_s, 3),
        )


def _is_compression(phase: Phase) -> bool:
    return phase.kind == CHECKPOINT and phase.group != IMPORT


def needed(prepared: Prepared, session: Session) -> list[str]:
    """Return the references that a session imports: what it serves, and the model whose tokenizer cuts its prompts."""
    served = prepared.engine.loads_weights and (session.served is not None or session.kind == GEMM)
    found = [session.checkpoint] if served else []
    return list(dict.fromkeys([*found, *([prepared.config.model] if session.kind == VARIANT else [])]))


def import_key(reference: str) -> str:
    return f"{CHECKPOINT} {digest([reference, None])}"


def environment_key(subject: str) -> str:
    return f"{ENVIRONMENT} {subject}"


def start_key(session: str) -> str:
    return f"{START} {session}"


def warm_up_key(session: str) -> str:
    return f"{WARM_UP} {session}"


def phases_of_part(phases: Iterable[Phase], name: str, cells: Collection[str]) -> tuple[Phase, ...]:
    """Return those of a session's phases that a part of it goes through, under the part's name; `cells`: its keys."""
    named = {START: start_key(name), WARM_UP: warm_up_key(name)}
    kept = (phase for phase in phases if phase.kind not in KINDS or phase.key in cells)
    return tuple(replace(phase, session=name, key=named.get(phase.kind, phase.key)) for phase in kept)


def subject(cell: Cell) -> str:
    """What it measures, whichever variant and repeat: the suite or load point."""
    if cell.point:
        return f"{cell.scenario}/{replace(cell.point, repeat=0).slug}"
    return cell.key.partition("/")[2].removesuffix(f"/r{cell.repeat}")


def first_of_each_suite(cells: Iterable[PlannedCell]) -> set[str]:
    """Keys of the first cell of each kind and suite."""
    return set({(cell.kind, cell.suite): cell.key for cell in reversed(list(cells))}.values())


def digest(value: object) -> str:
    """12 hex digits: names are compared, and not told."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
