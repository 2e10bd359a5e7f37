"""Runs the session of the GEMM study: products of linear layers in a worker, with no server."""

from datetime import datetime
from functools import partial

from harness.gemm.measure import measure_products
from harness.records import Outcome
from harness.records.cell import PlannedCell
from harness.records.engine_facts import EngineFacts
from harness.sweeps.run import Run
from harness.sweeps.session import Session


def measure_products_session(run: Run, session: Session) -> None:
    """Measure its pending cells. Raises HarnessError where nothing could be started."""
    prepared, log_file = run.prepared, run.log_of(session)
    run.ready_environment()
    run.make_checkpoint(session)
    location = prepared.workshop.prepare(session.checkpoint, None).location

    def fail(cell: PlannedCell, error: str, elapsed_s: float = 0.0) -> None:
        run.progress.cell(cell.key)
        run.fail(cell, error, log_file, elapsed_s)

    def keep(cell: PlannedCell, outcome: Outcome, engine: EngineFacts, started_at: datetime, elapsed_s: float) -> None:
        run.progress.cell(cell.key)
        run.keep(cell, outcome, outcome.flags, engine, started_at, elapsed_s)

    pending = partial(run.pending, session)
    measure_products(prepared.config, prepared.engine, location, pending, log_file, run.progress, keep, fail)
