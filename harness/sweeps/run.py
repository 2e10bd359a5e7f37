"""A run of a plan: what is still to be measured, and how a cell's record or failure is kept."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import harness
from harness.console.progress import Progress
from harness.engines.limits import Meter
from harness.machine import disk, host, scratch
from harness.records import Outcome
from harness.records.cell import PlannedCell
from harness.records.flag import Flag
from harness.records.record import Record
from harness.records.store import Store, slug
from harness.redaction.masking import mask
from harness.sweeps.budget import Budget
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import Session
from harness.telemetry.sampler import Seen

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One run of one plan. `failed` holds the cells that could not be measured, with the reason."""

    prepared: Prepared
    plan: Plan
    store: Store
    progress: Progress
    seconds: Callable[[PlannedCell], float]
    budget: Budget = field(default_factory=Budget)
    failed: dict[str, str] = field(default_factory=dict)

    def check_space(self) -> None:
        """Raise DiskFull where no space is left: what failed meanwhile failed of that, whatever it said."""
        disk.check(self.store.root, scratch.root())

    def pending(self, session: Session) -> list[PlannedCell]:
        return [c for c in session.cells if c.fingerprint not in self.store and c.key not in self.failed]

    def log_of(self, session: Session) -> Path:
        return self.store.logs / f"{slug(session.name)}.log"

    def ready_environment(self) -> None:
        engine = self.prepared.engine
        if not engine.is_ready():
            self.progress.say("installing the engine's environment (once)")
        engine.prepare(self.store.logs / "setup.log")

    @cached_property
    def tokenizer_location(self) -> str:
        return self.prepared.workshop.tokenizer(self.prepared.config.model).location

    @cached_property
    def tokenizer(self) -> Any:
        from harness.text.tokenizer import load_tokenizer

        return load_tokenizer(self.tokenizer_location)

    def spend(self, session: Session, used: Meter) -> dict[str, Any]:
        """Return what was spent, for a record; a judge at an endpoint has another price, or none."""
        if session.served is None:
            return Budget().record(used)
        self.budget.add(used)
        return self.budget.record(used)

    def note_spent(self, what: str, spent: dict[str, Any]) -> None:
        """Note costs that no record will hold: the next run of the sweep has to know."""
        if spent.get("cost", {}).get("amount"):
            self.store.note_spent(what, spent)

    def keep(
        self,
        cell: PlannedCell,
        outcome: Outcome,
        flags: list[Flag],
        engine: dict[str, Any],
        started_at: datetime,
        elapsed_s: float,
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
            duration_s=round(elapsed_s, 3),
            harness=harness.__version__,
            telemetry=dict(seen.summary or {}),
        )
        self.store.write(record, outcome.rows, seen.rows)
        invalid = [flag.code for flag in flags if flag.invalid]
        self.progress.cell_done(cell.key, f"invalid ({', '.join(invalid)})" if invalid else "measured", elapsed_s)

    def fail(self, cell: PlannedCell, error: str, server_log: Path, elapsed_s: float = 0.0) -> None:
        error = mask(error)
        self.failed[cell.key] = error
        where = str(server_log) if server_log.exists() else None
        self.store.write_failure(cell.key, error, where)
        log.error("%s failed: %s", cell.key, error)
        self.progress.cell_done(cell.key, f"FAILED: {error.splitlines()[0]}", elapsed_s)
