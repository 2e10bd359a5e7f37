"""Executes a run: its sessions one after the other, each by what measures sessions of its kind."""

from collections.abc import Callable

from harness.errors import DiskFull, HarnessError
from harness.gemm import GEMM
from harness.sweeps.products import measure_products_session
from harness.sweeps.run import Run
from harness.sweeps.served_session import measure_served_session
from harness.sweeps.session import JUDGE, VARIANT, Session

MEASURE: dict[str, Callable[[Run, Session], None]] = {
    VARIANT: measure_served_session,
    JUDGE: measure_served_session,
    GEMM: measure_products_session,
}


def execute(run: Run) -> dict[str, str]:
    """Measure what is missing. Return {cell key: error}. DiskFull and KeyboardInterrupt pass through."""
    for session in run.plan.sessions:
        if not run.pending(session):
            continue
        try:
            MEASURE[session.kind](run, session)
        except DiskFull:
            raise
        except HarnessError as error:
            run.check_space()  # an engine whose log cannot be written dies of something else
            for cell in run.pending(session):
                run.fail(cell, str(error), run.log_of(session))
    return run.failed
