"""Executes a run: its sessions one after the other, or or where and when the executor says."""

from collections.abc import Callable

from harness.errors import DiskFull, HarnessError
from harness.gemm import GEMM
from harness.sweeps.distributed.earlier_parts import beside, earlier_parts
from harness.sweeps.distributed.packed import division
from harness.sweeps.distributed.side_by_side import SideBySide
from harness.sweeps.measuring.products import measure_products_session
from harness.sweeps.measuring.served_session import measure_served_session
from harness.sweeps.run import Run
from harness.sweeps.session import JUDGE, VARIANT, Session

MEASURE: dict[str, Callable[[Run, Session], None]] = {
    VARIANT: measure_served_session,
    JUDGE: measure_served_session,
    GEMM: measure_products_session,
}


def execute(run: Run, after_session: Callable[[Run], None] = lambda run: None) -> dict[str, str]:
    """Measure what is missing. Return {cell key: error}. DiskFull and KeyboardInterrupt pass through.

    `after_session` is called when a session has ended and no other one runs.
    """
    if not run.prepared.executor.serial:
        started = earlier_parts(run.prepared.executor.earlier(run.store.root), run.plan)
        taken = {cell.fingerprint for part in started for cell in part.session.cells}
        found = division(run.prepared, run.plan, run.store, run.estimates, taken)
        parts = {part.task.name: part for part in (*started, *beside(started, found.parts))}
        SideBySide(run, parts, after_session, frozenset(part.task.name for part in started)).measure()
        return run.failed
    for session in run.plan.sessions:
        if run.pending(session):
            measure_session(run, session)
            after_session(run)
    return run.failed


def measure_session(run: Run, session: Session) -> None:
    """Measure the pending cells of a session, or note why it failed."""
    try:
        MEASURE[session.kind](run, session)
    except DiskFull:
        raise
    except HarnessError as error:
        run.check_space()  # an engine whose log cannot be written dies of something else
        for cell in run.pending(session):
            run.fail(cell, str(error), run.log_of(session))
