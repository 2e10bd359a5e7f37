"""Measures one cell on a running server: its outcome, what was seen of the GPUs meanwhile, and its flags."""

import logging
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from harness.checkpoints import Checkpoint, gguf
from harness.checkpoints.inspection import Inspection
from harness.checkpoints.inspection.text import holds
from harness.config.variants import Variant
from harness.engines import Server
from harness.engines.build import Build, changed
from harness.errors import CellError, DiskFull, EngineError, HarnessError
from harness.machine import disk, scratch
from harness.records import Outcome, Window
from harness.records.cell import PlannedCell
from harness.records.engine_facts import EngineFacts, ServedCheckpoint
from harness.records.record_check import result_fault
from harness.sweeps.distributed.neighbours import watching
from harness.sweeps.kinds import SERVED
from harness.sweeps.kinds.contract import Bench
from harness.sweeps.measuring.engine_flags import engine_flags
from harness.sweeps.run import Run
from harness.sweeps.session import Session
from harness.telemetry.sampler import Sampler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measuring:
    """A session whose server is up."""

    run: Run
    session: Session
    server: Server
    checkpoint: Checkpoint
    inspection: Inspection | None  # of the checkpoint, where it was looked at
    variant: Variant | None  # that is served; None: the judge
    sampler: Sampler

    def measure(self, cell: PlannedCell) -> None:
        """Measure and store a cell, or note why that failed. DiskFull and KeyboardInterrupt pass through."""
        run = self.run
        run.progress.cell(cell.key)
        started_at, began = datetime.now(UTC), time.monotonic()
        times = SERVED[cell.kind].times
        try:
            with watching(run.place.cores if run.place and times else ()) as watched:
                outcome = self._outcome(cell)
        except BaseException as error:  # one cell's failure must not take the others with it
            run.note_spent(cell.key, run.spend(self.session, self.server.meter.lap()))
            run.fail(cell, self._reason(cell, error), run.log_of(self.session), time.monotonic() - began)
            return
        elapsed_s = time.monotonic() - began
        spent = run.spend(self.session, self.server.meter.lap())
        window = outcome.window or Window(began, 0.0, elapsed_s)
        seen = self.sampler.of_cell(times, window, outcome.result)
        flags = outcome.flags + engine_flags(
            times, self.server, run.prepared.config.engine.kind, self.inspection, self.variant
        )
        run.keep(cell, outcome, flags + seen.flags + watched.flags, self._served(), started_at, elapsed_s, seen, spent)

    def _outcome(self, cell: PlannedCell) -> Outcome:
        run = self.run
        self._confirm_build()
        run.prepared.engine.reset_prefix_cache(self.server)  # what ran before must not make this cell faster
        bench = Bench(
            prepared=run.prepared,
            server=self.server,
            store=run.store,
            cells={cell.key: cell for cell in run.plan.cells},
            tokenizer=lambda: run.tokenizer,
            tokenizer_location=lambda: run.tokenizer_location,
            advance=run.progress.advance,
            say=run.progress.say,
            confirm_build=self._confirm_build,
        )
        outcome = SERVED[cell.kind].measure(cell, bench)
        self._confirm_build()
        if wrong := result_fault(cell.kind, outcome.result.to_json()):
            raise CellError(f"the measurement is impossible and was not stored: {wrong}")
        return outcome

    def _confirm_build(self) -> None:
        """Raise EngineError where a server of someone else was restarted with another build: nobody knows which of the
        two answered what."""
        session = self.session
        if session.served is not None:
            another = self.run.prepared.engine.another_build(session.served.name)
        else:
            planned = session.inputs.get("judge", {}).get("build")
            another = changed(self.server, Build.from_json(planned)) if planned else None
        if another:
            raise EngineError(another)

    def _reason(self, cell: PlannedCell, error: BaseException) -> str:
        """Return why a cell failed. Raises what ends the run: Ctrl-C, and a full disk, whatever it made fail."""
        if not isinstance(error, Exception) or isinstance(error, DiskFull):
            raise error
        if full := disk.explain(error, self.run.store.root, scratch.root()):
            raise full from None
        self.run.check_space()
        if isinstance(error, HarnessError):
            return str(error)
        log.error("%s", cell.key, exc_info=error)
        return f"{type(error).__name__}: {error}"

    def _served(self) -> EngineFacts:
        """Return what a record holds of engine and checkpoint."""
        held = holds(self.inspection) if self.inspection else self._held_by_gguf()
        checkpoint = ServedCheckpoint(**asdict(self.checkpoint), holds=held)
        return replace(self.server.facts, checkpoint=checkpoint)

    def _held_by_gguf(self) -> str | None:
        """An engine that loads no weights is only told a name; there need be no file."""
        return gguf.holds(self.checkpoint.location) if self.run.prepared.engine.loads_weights else None
