"""Measures a session where an executor sent it. The code that measures is that of a run on this machine."""

import logging
import os
import pickle
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from harness.console.output import MaskedFormatter
from harness.errors import DiskFull, HarnessError
from harness.executors import Emit, Place
from harness.executors.cores import bound
from harness.machine import disk, host, scratch
from harness.redaction.known_secrets import learn_config
from harness.sweeps.distributed.session_events import Refused, SessionWork
from harness.sweeps.distributed.streamed import StreamedProgress, StreamedResults
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.execute import measure_session
from harness.sweeps.plan import Plan, build_plan
from harness.sweeps.prepare import prepare
from harness.sweeps.run import Run
from harness.sweeps.session import Session
from harness.sweeps.session_lock import counted


def measure(description: bytes, place: Place, emit: Emit) -> None:
    """Measure a pickled SessionWork; its events are those of session_events.py."""
    work: SessionWork = pickle.loads(description)
    learn_config(asdict(work.config))
    start_log(work.config.log_level)
    folders = [Path(work.root), Path(work.config.cache_dir).expanduser().absolute(), scratch.root()]
    progress = StreamedProgress(emit)
    try:
        with disk.among(*folders), nullcontext() if place.outlives else counted(Path(work.root)):
            _check_node(work)
            with host.measured_on(work.node):
                prepared = prepare(work.config, progress.say)
                plan = build_plan(prepared)  # with all GPUs and cores in sight, as they are part of fingerprints
                session = _wanted(plan, work)
            os.environ.update(place.variables)
            place = replace(place, cores=place.cores or _cores(work))
            run = Run(
                prepared, plan, StreamedResults(work, emit), progress, Estimates(work.phases, Durations()), place=place
            )
            with bound(place.cores):
                measure_session(run, session)
    except DiskFull as error:
        emit(Refused(str(error), full=True))
    except HarnessError as error:
        emit(Refused(str(error)))


def _check_node(work: SessionWork) -> None:
    """Raise HarnessError where this machine is not what the sweep was planned for."""
    if work.node and (difference := work.node.difference(host.Node.here())):
        raise HarnessError(
            f"{work.name}: {os.uname().nodename} is not the machine that the sweep was planned for: {difference}; "
            "restrict the executor to nodes of one kind"
        )


def _cores(work: SessionWork) -> tuple[int, ...]:
    """Return as many CPU cores as the sweep was planned for, where this process may use more; empty: all."""
    allowed = sorted(os.sched_getaffinity(0))
    planned = work.node.facts["cores"] if work.node else len(allowed)
    return tuple(allowed[:planned]) if planned < len(allowed) else ()


def _wanted(plan: Plan, work: SessionWork) -> Session:
    """Return the session with the cells that are to be measured. Raises HarnessError where the plan is another one."""
    found = next((session for session in plan.sessions if session.name == work.session), None)
    cells = {cell.fingerprint: cell for cell in (found.cells if found else ())}
    if found is None or (missing := [one for one in work.wanted if one not in cells]):
        what = f"{len(missing)} of {len(work.wanted)} cells" if found else "the session"
        raise HarnessError(
            f"{work.name}: {what} would not be those of the plan: a checkpoint, a data set or a package has changed "
            "since, or differs on this machine; run the command again"
        )
    return replace(found, name=work.name, cells=tuple(cells[one] for one in work.wanted))


def start_log(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(MaskedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("harness")
    root.addHandler(handler)
    root.setLevel(level.upper())
    root.propagate = False
