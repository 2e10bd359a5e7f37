"""What a store's folder keeps of the jobs that measure for it, so that a driver that was killed finds them again.

    results/SWEEP/jobs/BATCH/batch.json    its tasks, with the fingerprints of their cells, and the id of the job
    results/SWEEP/jobs/BATCH/N.work        what task N has to measure
    results/SWEEP/jobs/BATCH/N.events      what its job has to say, in order (slurm_job.py)
    results/SWEEP/jobs/BATCH/N.read        how far the driver has read that
    results/SWEEP/jobs/BATCH/...           submitit's files, and what the job printed

A batch is one job, or one array. Its folder is there before the job is submitted, under a name that is also the job's:
a driver that is killed in between finds it in the queue. The folder goes when all of its tasks have ended.
"""

import contextlib
import json
import os
import pickle
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.executors import Needs, Task
from harness.executors.slurm.job import Files
from harness.machine.disk import write_atomically

FOLDER, ABOUT = "jobs", "batch.json"


@dataclass
class Batch:
    """`job`: its id, once it is submitted."""

    folder: Path
    tasks: tuple[Task, ...]
    job: str | None = None

    @property
    def name(self) -> str:
        return f"harness-{self.folder.name}"

    def id_of(self, number: int) -> str:
        """The id of a task's job, as squeue prints it."""
        return f"{self.job}_{number}" if len(self.tasks) > 1 else str(self.job)

    def files(self, number: int) -> Files:
        return Files(self.folder, number)

    @classmethod
    def written(cls, jobs: Path, tasks: Sequence[Task]) -> "Batch":
        """Write a new batch, readable by this user alone."""
        folder = jobs / uuid.uuid4().hex[:10]
        jobs.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        batch = cls(folder, tuple(tasks))
        for number, task in enumerate(tasks):
            descriptor = os.open(batch.files(number).work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                pickle.dump((task.entry, task.resume, task.describe()), file)
        batch.note(None)
        return batch

    def note(self, job: str | None) -> None:
        self.job = job
        kept = [
            {"name": one.name, "needs": asdict(one.needs), "estimate_s": one.estimate_s, "cells": one.cells}
            for one in self.tasks
        ]
        write_atomically(self.folder / ABOUT, json.dumps({"job": job, "tasks": kept}).encode())

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Reading:
    """The driver's end of a task's events."""

    files: Files

    @property
    def _read(self) -> Path:
        return self.files.folder / f"{self.files.number}.read"

    @property
    def ended(self) -> bool:
        return self._offset() < 0

    def _offset(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int(self._read.read_text())
        return 0

    def new(self) -> Iterator[Any]:
        """Yield what has arrived; what was yielded counts as read when the next one is asked for."""
        for event, end in self.files.read(self._offset()):
            yield event
            self._keep(end)

    def end(self) -> None:
        self._keep(-1)

    def _keep(self, offset: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # somebody removed the folder
            self._read.write_text(str(offset))


def kept(root: Path) -> list[Batch]:
    """Return the batches in the folder of a store; one that cannot be read was never submitted."""
    found = []
    for path in sorted((root / FOLDER).glob(f"*/{ABOUT}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            about = json.loads(path.read_text())
            tasks = [
                Task(one["name"], Needs(**one["needs"]), one["estimate_s"], cells=tuple(one["cells"]))
                for one in about["tasks"]
            ]
            found.append(Batch(path.parent, tuple(tasks), about["job"]))
    return found
