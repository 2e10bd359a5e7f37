"""A run of a plan: what is still to be measured, and how a cell's record or failure is kept."""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import harness
from harness.console.progress import Progress
from harness.engines.limits import Meter
from harness.executors import Place
from harness.machine import disk, host, scratch
from harness.records import Outcome
from harness.records.cell import PlannedCell
from harness.records.cell_files import slug
from harness.records.engine_facts import EngineFacts
from harness.records.fields import Json
from harness.records.flag import Flag
from harness.records.host_facts import HostFacts
from harness.records.phase import CHECKPOINT, Phase
from harness.records.record import Record
from harness.records.results import Results
from harness.records.usage import Spent, SpentBeside, Usage
from harness.redaction.masking import mask
from harness.sweeps.budget import Budget
from harness.sweeps.estimates import durations
from harness.sweeps.estimates.estimate import Estimates, finished
from harness.sweeps.estimates.phases import COMPRESSION, environment_key, import_key, needed
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.retries import earlier_note, retried, to_measure
from harness.sweeps.session import Session
from harness.telemetry.sampler import Seen

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One run of one plan. `failed` holds the cells that could not be measured, with the reason."""

    prepared: Prepared
    plan: Plan
    store: Results
    progress: Progress
    estimates: Estimates
    budget: Budget = field(default_factory=Budget)
    failed: dict[str, str] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)  # of each cell, in this run
    width: float = 1.0  # cells that are measured at once, on average
    place: Place | None = None  # where the executor sent it; None: this process, on all of the machine

    def check_space(self) -> None:
        """Raise DiskFull where no space is left: what failed meanwhile failed of that, whatever it said."""
        disk.check(self.store.root, scratch.root())

    def pending(self, session: Session) -> list[PlannedCell]:
        """Return what is to be measured, an invalid cell among it until it has been tried `load.retries` times more."""
        most = self.prepared.config.load.retries
        cells = to_measure(session.cells, self.store)
        return [cell for cell in cells if cell.key not in self.failed and self.tries[cell.key] <= most]

    def invalid(self) -> list[PlannedCell]:
        """Return the cells that are invalid, and would not have to be."""
        return [cell for cell in self.plan.cells if retried(cell, self.store)]

    def log_of(self, session: Session) -> Path:
        return self.store.logs / f"{slug(session.name)}.log"

    def ready_environment(self) -> None:
        engine = self.prepared.engine
        if not engine.is_ready():
            self.progress.say("installing the engine's environment (once)")
        with self.timed(environment_key(engine.kind)):
            engine.prepare(self.store.logs / "setup.log")

    def make_checkpoint(self, session: Session) -> None:
        """Make what the session is served and cut prompts with, one phase at a time. Raises HarnessError."""
        workshop = self.prepared.workshop
        imports = {import_key(reference): reference for reference in needed(self.prepared, session)}
        for phase in self.estimates.of(session.name):
            if phase.key == environment_key(COMPRESSION):
                with self.timed(phase.key):
                    workshop.ready_environment()
            elif phase.kind == CHECKPOINT:
                if phase.key not in imports and workshop.is_made(session.checkpoint, session.recipe):
                    self.estimates.dropped(phase.key)  # made beside the session before: the time is no checkpoint's
                    continue
                with self.timed(phase.key):
                    if phase.key in imports:
                        workshop.tokenizer(imports[phase.key])
                    else:
                        workshop.prepare(session.checkpoint, session.recipe)

    @contextlib.contextmanager
    def timed(self, key: str) -> Iterator[None]:
        """Note how long a phase takes; one that fails is not kept."""
        began = time.monotonic()
        yield
        self.took(key, time.monotonic() - began)

    def left_s(self) -> float:
        return self.estimates.left_s() / self.width

    def took(self, key: str, seconds: float) -> None:
        """Keep how long a phase took: in the store for the report, in the cache for later estimates."""
        if found := self.estimates.took(key, seconds):
            phase, estimated_s = found
            taken = finished(phase, seconds, estimated_s)
            self.store.note_phase(taken)
            durations.note(self.prepared.workshop.cache_dir, taken)

    @cached_property
    def tokenizer_location(self) -> str:
        return self.prepared.workshop.tokenizer(self.prepared.config.model).location

    @cached_property
    def tokenizer(self) -> Any:
        from harness.text.tokenizer import load_tokenizer

        return load_tokenizer(self.tokenizer_location)

    def spend(self, session: Session, used: Meter) -> Spent:
        """Return what was spent, for a record; a judge at an endpoint has another price, or none."""
        if session.served is None:
            return Budget().record(used)
        self.budget.add(used, session.variant)
        return self.budget.record(used, session.variant)

    def note_spent(self, what: str, spent: Spent) -> None:
        """Note costs that no record will hold: the next run of the sweep has to know."""
        if spent.cost and spent.cost.amount:
            self.store.note_spent(SpentBeside(what=what, usage=spent.usage, cost=spent.cost))

    def keep(
        self,
        cell: PlannedCell,
        outcome: Outcome,
        flags: list[Flag],
        engine: EngineFacts,
        started_at: datetime,
        elapsed_s: float,
        seen: Seen | None = None,
        spent: Spent | None = None,
    ) -> None:
        seen = seen or Seen()
        self._note_superseded(cell)
        record = Record(
            cell=cell,
            fingerprint=cell.fingerprint,
            inputs=cell.inputs,
            result=outcome.result,
            flags=(*flags, *earlier_note(cell, self.store)),
            engine=engine,
            usage=spent.usage if spent else None,
            cost=spent.cost if spent else None,
            host=HostFacts.from_json(host.facts()),
            started_at=started_at.isoformat(timespec="seconds"),
            duration_s=round(elapsed_s, 3),
            harness=harness.__version__,
            telemetry=seen.telemetry,
        )
        self.store.write(record, outcome.rows, seen.rows)
        self.tries[cell.key] += 1
        phase = self.estimates.ahead.get(cell.key)
        self.took(cell.key, elapsed_s)
        self.progress.cell_done(cell.key, self._outcome(cell, record, phase), elapsed_s, self.left_s())

    def accept(self, record: Record, rows: list[Json], samples: list[Json] | None) -> None:
        """Store what a session elsewhere has measured, once; it showed the outcome itself."""
        known = self.store.earlier_tries(record.fingerprint)
        if record.fingerprint in self.store:
            known.append(self.store.record(record.fingerprint))
        if any((one.started_at, one.duration_s) == (record.started_at, record.duration_s) for one in known):
            return
        self.store.write(record, rows, samples)
        self.tries[record.cell.key] += 1

    def _note_superseded(self, cell: PlannedCell) -> None:
        """What an invalid try took is in no record that counts any more."""
        if retried(cell, self.store):
            earlier = self.store.record(cell.fingerprint)
            self.note_spent(f"{cell.key}, invalid", Spent(usage=earlier.usage or Usage(), cost=earlier.cost))

    def _outcome(self, cell: PlannedCell, record: Record, phase: Phase | None) -> str:
        """Return how it went; an invalid cell that is to be measured once more is one more cell of the run."""
        if not record.invalid:
            return "measured"
        again = bool(retried(cell, self.store)) and self.tries[cell.key] <= self.prepared.config.load.retries
        if again:
            self.progress.add(1)
            if phase:
                self.estimates.again(phase)
        codes = ", ".join(flag.code for flag in record.invalid)
        return f"invalid ({codes}){', measured again at the end of the session' if again else ''}"

    def fail(self, cell: PlannedCell, error: str, server_log: Path, elapsed_s: float = 0.0) -> None:
        error = mask(error)
        self.note_failure(cell.key, error, str(server_log) if server_log.exists() else None)
        self.progress.cell_done(cell.key, f"FAILED: {error.splitlines()[0]}", elapsed_s, self.left_s())

    def note_failure(self, key: str, error: str, server_log: str | None) -> None:
        self.failed[key] = error
        self.estimates.dropped(key)
        self.store.write_failure(key, error, server_log)
        log.error("%s failed: %s", key, error)
