"""The next session's checkpoint, made while this session's server answers what measures no time.

On a machine without GPUs only, and where its memory has room for both: elsewhere the server has the device, or most of
the memory, that making a checkpoint needs.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from harness.checkpoints.beside import making
from harness.checkpoints.prepare import Workshop
from harness.machine import host
from harness.sweeps.estimates.device import Device
from harness.sweeps.kinds import SERVED
from harness.sweeps.run import Run
from harness.sweeps.session import Session

BYTES_A_WEIGHT = 8  # of a model that is compressed: its weights twice, in single precision
RESERVE_BYTES = 2 << 30


def making_next(run: Run, session: Session) -> AbstractContextManager[None]:
    """Make what the session after this one serves, where it is to be compressed; nothing while times are measured."""
    workshop = run.prepared.workshop
    following = _next(run, session)
    if following is None or following.recipe is None or any(SERVED[cell.kind].times for cell in run.pending(session)):
        return nullcontext()
    plain = type(workshop) is Workshop and workshop.has_environment()  # others make theirs in seconds
    if not plain or not _has_room(run, following) or workshop.is_made(following.checkpoint, following.recipe):
        return nullcontext()
    run.progress.say(f"{following.name}: making its checkpoint meanwhile")
    return making(workshop, following.checkpoint, following.recipe)


def _next(run: Run, session: Session) -> Session | None:
    """The session that this process runs after this one."""
    if not run.prepared.executor.serial or not run.prepared.engine.loads_weights or session not in run.plan.sessions:
        return None
    later = run.plan.sessions[run.plan.sessions.index(session) + 1 :]
    return next((one for one in later if run.pending(one)), None)


def _has_room(run: Run, session: Session) -> bool:
    device = Device(run.prepared, {})
    needed = BYTES_A_WEIGHT * device.weights(session.checkpoint) + RESERVE_BYTES
    return device.on_cpu and not host.gpus() and available_bytes() >= needed


def available_bytes() -> int:
    """Memory that processes can still take (Linux: MemAvailable); 0 where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)
