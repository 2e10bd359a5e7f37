"""The next session's checkpoint, made while this session's server answers what measures no time.

On a machine without GPUs only, and where its memory has room for both: elsewhere the server has the device, or most of
the memory, that making a checkpoint needs.
"""

from contextlib import AbstractContextManager, nullcontext

from harness.checkpoints.beside import making
from harness.sweeps.estimates.device import Device
from harness.sweeps.kinds import SERVED
from harness.sweeps.run import Run
from harness.sweeps.session import Session


def making_next(run: Run, session: Session) -> AbstractContextManager[None]:
    """Make what the session after this one serves, where it is to be compressed; nothing while times are measured."""
    workshop = run.prepared.workshop
    following = _next(run, session)
    if following is None or following.recipe is None or any(SERVED[cell.kind].times for cell in run.pending(session)):
        return nullcontext()
    possible = workshop.has_environment() and Device(run.prepared).may_make_beside(following.checkpoint)
    if not possible or workshop.is_made(following.checkpoint, following.recipe):
        return nullcontext()
    run.progress.say(f"{following.name}: making its checkpoint meanwhile")
    return making(workshop, following.checkpoint, following.recipe)


def _next(run: Run, session: Session) -> Session | None:
    """The session that this process runs after this one."""
    names = [one.name for one in run.plan.sessions]
    if not run.prepared.executor.serial or session.name not in names:
        return None
    return next((one for one in run.plan.sessions[names.index(session.name) + 1 :] if run.pending(one)), None)
