"""The job of one session, on its compute node: runs the session's process and appends its events to a file.

The file is on the file system that the machines share, and outlives the job and the driver. Each event is synced: that
is also when NFS shows it to the driver. A job that Slurm starts again (preemption, a node that failed, its time limit)
goes on from the events in its file.

submitit sends SIGUSR2 some time before the time limit, or when the job is preempted. Slurm sends it to every process of
the job, so the session's process and its engine ignore it; this process interrupts the session, waits until its engine
has stopped and lets submitit requeue the job. SIGTERM (scancel, a requeue) ends the session's process directly, and
this one leaves the job as it is: it is cancelled, or starts again.
"""

import contextlib
import os
import pickle
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from harness.executors import Place, frames
from harness.machine.host import Node
from harness.machine.pipes import close, piped

READ_BYTES, LOOK_S = 1 << 20, 0.5
STOPPED = (130, -signal.SIGTERM)  # the session's process was told to end, by Slurm: its job's state says why


@dataclass(frozen=True)
class Began:
    """The job runs: the first event of each of its starts."""

    place: Place
    job: str
    at_s: float


@dataclass(frozen=True)
class Over:
    """The session's process has ended, and the job with it."""

    code: int
    at_s: float


@dataclass(frozen=True)
class Files:
    """Where a task's files are, in the folder of its batch."""

    folder: Path
    number: int

    @property
    def work(self) -> Path:
        """(entry, resume, description), pickled; it may hold secrets, and goes when the job ends."""
        return self.folder / f"{self.number}.work"

    @property
    def events(self) -> Path:
        return self.folder / f"{self.number}.events"

    def read(self, offset: int = 0) -> Iterator[tuple[Any, int]]:
        """Yield the whole events from `offset`, each with where the next one begins."""
        with contextlib.suppress(FileNotFoundError, EOFError), self.events.open("rb") as file:
            file.seek(offset)
            while True:
                yield frames.read(file), file.tell()


@dataclass
class SessionJob:
    """What submitit calls on the node. `log`: for what the session's process prints."""

    folder: str
    number: int
    log: str

    def __call__(self) -> int:
        files = Files(Path(self.folder), self.number)
        entry, resume, description = pickle.loads(files.work.read_bytes())
        before = list(files.read())
        if before:
            description = _function(resume)(description, [event for event, _ in before])
        interrupted: list[int] = []
        requeue = signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # what is started meanwhile ignores it
        place = here()
        with files.events.open("ab") as events, Path(self.log).open("ab") as log:
            events.truncate(before[-1][1] if before else 0)  # an event that was cut by the end of an earlier start
            _append(events, Began(place, os.environ.get("SLURM_JOB_ID", ""), time.time()))
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.executors.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
            signal.signal(signal.SIGUSR2, lambda number, frame: interrupted.append(number))
            with contextlib.suppress(BrokenPipeError):
                frames.write(piped(process.stdin), (entry, description, place))
            _relay(process, events, interrupted)
            code = process.wait()
            if not interrupted and code not in STOPPED:
                _append(events, Over(code, time.time()))
                files.work.unlink(missing_ok=True)
        if interrupted and callable(requeue):
            requeue(signal.SIGUSR2, None)  # asks for checkpoint(), requeues the job and exits
        return code

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def here() -> Place:
    """Where this job runs; Slurm has already hidden the other GPUs from it."""
    gpus = tuple(str(gpu.get("uuid") or gpu.get("index") or gpu["name"]) for gpu in Node.here().gpus)
    declared = os.environ.get("SLURM_JOB_GPUS", "")
    return Place(os.uname().nodename, gpus or tuple(filter(None, declared.split(","))), outlives=True)


def _relay(process: "subprocess.Popen[bytes]", events: IO[bytes], interrupted: list[int]) -> None:
    """Append the process's events until its output ends; once interrupted, tell it to stop."""
    arriving, output = frames.Frames(), piped(process.stdout).fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if interrupted:
                close(process.stdin)
            if not selector.select(LOOK_S):
                continue
            data = os.read(output, READ_BYTES)
            if not data:
                return
            for event in arriving.feed(data):
                _append(events, event)


def _append(events: IO[bytes], event: Any) -> None:
    frames.write(events, event)
    os.fsync(events.fileno())


def _function(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    return getattr(import_module(module), function)
