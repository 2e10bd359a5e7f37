"""Runs a plan: per session environment, checkpoint and engine up; per cell measure and store; engine down."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import harness
from harness.accuracy import Context, Suite
from harness.checkpoints import Checkpoint, gguf
from harness.checkpoints.compatibility import repair_words
from harness.checkpoints.inspection import Inspection
from harness.checkpoints.inspection.gate import admitted, unreadable
from harness.checkpoints.inspection.text import holds
from harness.checkpoints.planned_repairs import confirm
from harness.checkpoints.prepare import Workshop
from harness.config.schema import Config
from harness.console.progress import Progress
from harness.engines import Engine, Server
from harness.engines.credentials import split_url
from harness.engines.model_list import is_served
from harness.errors import CellError, DiskFull, HarnessError
from harness.gemm import GEMM
from harness.machine import disk, host, scratch
from harness.records import Outcome, Window
from harness.records.cell import PlannedCell
from harness.records.engine_facts import EngineFacts, ServedCheckpoint
from harness.records.flag import Flag
from harness.records.item import Item
from harness.records.record import Record
from harness.records.record_check import result_fault
from harness.records.store import Store, slug
from harness.redaction.masking import mask
from harness.sweeps.budget import Budget
from harness.sweeps.engine_flags import engine_flags
from harness.sweeps.plan import JUDGE, Plan, Session, engine_concurrency
from harness.sweeps.session_gpus import devices
from harness.telemetry.sampler import Sampler, Seen, sampling

ENGINE_STARTS = 2  # an engine that a cell killed is started once more for the cells after it
log = logging.getLogger(__name__)


@dataclass
class Run:
    """One run of one plan. `failed` holds the cells that could not be measured, with the reason."""

    config: Config
    plan: Plan
    suites: dict[str, Suite]
    engine: Engine
    store: Store
    workshop: Workshop
    progress: Progress
    seconds: Callable[[PlannedCell], float]
    budget: Budget = field(default_factory=Budget)
    failed: dict[str, str] = field(default_factory=dict)
    _tokenizers: dict[str, Any] = field(default_factory=dict)
    _inspected: dict[str, Inspection | None] = field(default_factory=dict)  # by location

    def execute(self) -> dict[str, str]:
        """Measures what is missing. Returns {cell key: error}. DiskFull and KeyboardInterrupt pass through."""
        for session in self.plan.sessions:
            pending = self._pending(session)
            if not pending:
                continue
            try:
                if session.variant == GEMM:
                    self._products(session)
                else:
                    self._session(session)
            except DiskFull:
                raise
            except HarnessError as error:
                self._check_space()  # an engine whose log cannot be written dies of something else
                for cell in self._pending(session):
                    self._fail(cell, str(error), self._log_of(session))
        return self.failed

    def _check_space(self) -> None:
        """Raise DiskFull where no space is left: what failed meanwhile failed of that, whatever it said."""
        disk.check(self.store.root, scratch.root())

    def _pending(self, session: Session) -> list[PlannedCell]:
        return [c for c in session.cells if c.fingerprint not in self.store and c.key not in self.failed]

    def _log_of(self, session: Session) -> Path:
        return self.store.logs / f"{slug(session.name)}.log"

    def _session(self, session: Session) -> None:
        checkpoint = self._prepare(session)
        server_log = self._log_of(session)
        for start in range(ENGINE_STARTS):
            if not self._pending(session):
                return
            self.progress.say(f"{session.name}: starting the engine" + (" again" if start else ""))
            began = time.monotonic()
            with self._serve(session, checkpoint, server_log) as server:
                self._confirm_content(session)  # while the engine was loading it
                self.progress.say(f"{session.name}: ready after {time.monotonic() - began:.0f} s")
                with sampling(devices(self.config, self.engine, session)) as sampler:
                    self._warm_up(session, server)
                    self._spent_beside(f"{session.name}, warm-up", self._spend(None, server))
                    for cell in self._pending(session):
                        if refusal := self.budget.refusal(cell):
                            self._fail(cell, refusal, server_log)
                            continue
                        self._cell(cell, server, checkpoint, server_log, sampler)
                        if cell.key in self.failed and not is_served(server):
                            self.progress.say(f"{session.name}: the engine died; its log: {server_log}")
                            break
        for cell in self._pending(session):
            self._fail(cell, f"not run: the engine died {ENGINE_STARTS} times in this session", server_log)

    def _products(self, session: Session) -> None:
        from harness.gemm.measure import measure_products

        log_file = self._log_of(session)
        self._ready_environment()
        location = self.workshop.prepare(session.checkpoint, None).location

        def fail(cell: PlannedCell, error: str, elapsed: float = 0.0) -> None:
            self.progress.cell(cell.key, self.seconds(cell))
            self._fail(cell, error, log_file, elapsed)

        def keep(
            cell: PlannedCell, outcome: Outcome, engine: dict[str, Any], started_at: datetime, elapsed: float
        ) -> None:
            self.progress.cell(cell.key, self.seconds(cell))
            self._keep(cell, outcome, outcome.flags, engine, started_at, elapsed)

        pending = partial(self._pending, session)
        measure_products(self.config, self.engine, location, pending, log_file, self.progress, keep, fail)

    def _ready_environment(self) -> None:
        if not self.engine.is_ready():
            self.progress.say("installing the engine's environment (once)")
        self.engine.prepare(self.store.logs / "setup.log")

    def _prepare(self, session: Session) -> Checkpoint:
        self._ready_environment()
        if not self.engine.loads_weights or not session.checkpoint:
            return Checkpoint(session.checkpoint, session.checkpoint)
        self._confirm_content(session)
        checkpoint = self.workshop.prepare(session.checkpoint, session.recipe)
        variant = self.config.variants.get(session.variant)
        self._inspected[checkpoint.location] = admitted(
            checkpoint.location, checkpoint.revision, session.variant, variant
        )
        args = (*self.config.engine.args, *session.served.args)
        where = (checkpoint.location, checkpoint.revision, session.variant)
        if wrong := unreadable(*where, self.engine.release, args):
            raise HarnessError("\n  ".join(wrong))
        if session.variant != JUDGE or not self.config.judge.base_url:  # which serves a model of its own
            confirm(session.planned_overrides, session.checkpoint, session.recipe, self.engine.release)
        if session.served.config_overrides:
            self.progress.say(f"{session.name}: {repair_words(session.served.config_overrides)}")
        return checkpoint

    def _confirm_content(self, session: Session) -> None:
        """Raise HarnessError where the checkpoint is no longer the one that the fingerprints of its cells name."""
        planned = session.planned_weights
        if planned is None or not session.checkpoint or not self.engine.loads_weights:
            return
        if self.workshop.identity(session.checkpoint, session.recipe) != planned:
            raise HarnessError(
                f"checkpoint {session.checkpoint} has changed since the sweep was planned; run the command again"
            )

    def _serve(self, session: Session, checkpoint: Checkpoint, server_log: Path) -> AbstractContextManager[Server]:
        judge = self.config.judge
        if session.variant == JUDGE and judge.base_url:
            url, _ = split_url(judge.base_url)
            facts = EngineFacts("endpoint", more={"base_url": url, "model": judge.endpoint_model})
            address = judge.base_url.rstrip("/").removesuffix("/v1")
            return nullcontext(Server(address, judge.endpoint_model, judge.api_key_env, facts))
        return self.engine.serve(session.deployment(checkpoint.location, checkpoint.revision), server_log)

    def _warm_up(self, session: Session, server: Server) -> None:
        """The first load cell must not pay for lazy initialisation."""
        loads = (cell for cell in self._pending(session) if cell.kind == "load")
        first = next((cell for cell in loads if not self.budget.refusal(cell)), None)
        if first is None:
            return
        from harness.load.measure import warm_up

        scenario = self.config.scenarios[first.scenario]
        try:
            warm_up(server, self._tokenizer(), first.scenario, scenario, self.config.load, self.config.seed)
        except DiskFull:
            raise
        except Exception as error:  # it is no measurement: the cells themselves say what is wrong
            why = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            log.warning("%s: warm-up failed, its cells are measured all the same: %s", session.name, why)

    def _cell(
        self, cell: PlannedCell, server: Server, checkpoint: Checkpoint, server_log: Path, sampler: Sampler
    ) -> None:
        self.progress.cell(cell.key, self.seconds(cell))
        started_at, began = datetime.now(UTC), time.monotonic()
        try:
            outcome = self._measure(cell, server)
            if wrong := result_fault(cell.kind, outcome.result):
                raise CellError(f"the measurement is impossible and was not stored: {wrong}")
        except BaseException as error:  # one cell's failure must not take the others with it
            self._spent_beside(cell.key, self._spend(cell, server))
            if not isinstance(error, Exception) or isinstance(error, DiskFull):
                raise  # Ctrl-C
            if full := disk.explain(error, self.store.root, scratch.root()):
                raise full from None
            self._check_space()
            if not isinstance(error, HarnessError):
                log.exception("%s", cell.key)
            message = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            self._fail(cell, message, server_log, time.monotonic() - began)
            return
        elapsed = time.monotonic() - began
        spent = self._spend(cell, server)
        seen = sampler.of_cell(cell.kind, outcome.window or Window(began, 0.0, elapsed), outcome.result)
        inspection = self._inspected.get(checkpoint.location)
        held = holds(inspection) if inspection else self._held_by_gguf(checkpoint)
        variant = self.config.variants.get(cell.variant)
        flags = outcome.flags + engine_flags(cell, server, self.config.engine.kind, inspection, variant)
        served = replace(server.facts, checkpoint=ServedCheckpoint(**asdict(checkpoint), holds=held)).to_json()
        self._keep(cell, outcome, flags + seen.flags, served, started_at, elapsed, seen, spent)

    def _spent_beside(self, what: str, taken: dict[str, Any]) -> None:
        """No record will hold it, and the next run of the sweep has to know."""
        if taken.get("cost", {}).get("amount"):
            self.store.note_spent(what, taken)

    def _spend(self, cell: PlannedCell | None, server: Server) -> dict[str, Any]:
        """What the cell took, for its record; a judge at an endpoint of its own has another price, or none."""
        used = server.meter.lap()
        if cell and cell.kind == "judge" and self.config.judge.base_url:
            return Budget().record(used)
        self.budget.add(used)
        return self.budget.record(used)

    def _held_by_gguf(self, checkpoint: Checkpoint) -> str | None:
        """An engine that loads no weights is only told a name; there need be no file."""
        return gguf.holds(checkpoint.location) if self.engine.loads_weights else None

    def _keep(
        self,
        cell: PlannedCell,
        outcome: Outcome,
        flags: list[Flag],
        engine: dict[str, Any],
        started_at: datetime,
        elapsed: float,
        seen: Seen | None = None,
        spent: dict[str, Any] | None = None,
    ) -> None:
        seen = seen or Seen()
        record = Record(
            cell=cell,
            fingerprint=cell.fingerprint,
            inputs=cell.inputs,
            result=outcome.result,
            flags=tuple(flags),
            engine=engine,
            **(spent or {}),
            host=host.facts(),
            started_at=started_at.isoformat(timespec="seconds"),
            duration_s=round(elapsed, 3),
            harness=harness.__version__,
            telemetry=seen.summary or {},
        )
        self.store.write(record, outcome.rows, seen.rows)
        invalid = [flag.code for flag in flags if flag.invalid]
        self.progress.cell_done(cell.key, f"invalid ({', '.join(invalid)})" if invalid else "measured", elapsed)

    def _measure(self, cell: PlannedCell, server: Server) -> Outcome:
        self.engine.reset_prefix_cache(server)  # what ran before must not make this cell faster
        if cell.kind == "load":
            from harness.load.measure import measure

            scenario = self.config.scenarios[cell.scenario]
            arguments = (server, self._tokenizer(), cell.scenario, scenario, cell.point, self.config.load)
            return measure(*arguments, self.config.seed, self.progress.advance)
        with scratch.scratch("suite") as work_dir:
            context = Context(
                server=server,
                tokenizer=self._tokenizer_location(),
                data_root=self.config.data.root,
                seed=self.config.seed,
                concurrency=engine_concurrency(self.config, self.engine),
                work_dir=work_dir,
                progress=self.progress.advance,
            )
            if cell.kind == "accuracy":
                return self.suites[cell.suite].run(context)
            return self._judge(cell, context)

    def _judge(self, cell: PlannedCell, context: Context) -> Outcome:
        given = (c for c in self.plan.cells if c.kind == "accuracy" and c.suite == cell.suite and not c.repeat)
        answers = {c.variant: c for c in given}
        for needed in {cell.variant, self.config.baseline}:
            if answers[needed].fingerprint not in self.store:
                raise CellError(f"{answers[needed].key} has no answers to judge; see its own failure")
        answers_of = {
            name: [Item.from_json(row) for row in self.store.rows(answers[name].fingerprint)]
            for name in {cell.variant, self.config.baseline}
        }
        suite = self.suites[cell.suite]
        return suite.judge(context, self.config.judge, answers_of[cell.variant], answers_of[self.config.baseline])

    def _tokenizer_location(self) -> str:
        return self.workshop.tokenizer(self.config.model).location

    def _tokenizer(self) -> Any:
        location = self._tokenizer_location()
        if location not in self._tokenizers:
            from harness.text.tokenizer import load_tokenizer

            self._tokenizers[location] = load_tokenizer(location)
        return self._tokenizers[location]

    def _fail(self, cell: PlannedCell, error: str, server_log: Path, seconds: float = 0.0) -> None:
        error = mask(error)
        self.failed[cell.key] = error
        where = str(server_log) if server_log.exists() else None
        self.store.write_failure(cell.key, error, where)
        log.error("%s failed: %s", cell.key, error)
        self.progress.cell_done(cell.key, f"FAILED: {error.splitlines()[0]}", seconds)
