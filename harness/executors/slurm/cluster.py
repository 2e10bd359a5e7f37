"""Runs sessions as jobs of a Slurm cluster: submitted with submitit, followed through files that the machines share.

The driver may end at any time, killed or on purpose (`executor.detach`): the store's folder knows the jobs, and the
next run of the same command goes on reading their events.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

from harness.engines import Engine
from harness.errors import HarnessError
from harness.executors import Ended, Executor, Limits, Place, Receive, Said, Started, Task, death
from harness.executors.packing import longest_first
from harness.executors.slurm.batches import FOLDER, Batch, Reading, kept
from harness.executors.slurm.commands import USUAL, JobState, SlurmError, SlurmNode, cancel, jobs, named, nodes
from harness.executors.slurm.facts import node_facts
from harness.executors.slurm.job import Began, Over
from harness.executors.slurm.options import SlurmConfig, minutes, options
from harness.executors.slurm.problems import problems
from harness.machine import disk
from harness.machine.host import Node
from harness.machine.interrupts import held

ENDING_S = 90.0  # that cancelled jobs get to stop their engines; Slurm kills them long before that
SIGNAL_S = 120  # before its time limit a job is told to stop its engine
STARTS = 10  # of a session whose jobs are preempted or lose their node
SILENT = 2  # looks at the queue without a job's id before it counts as over
AGAIN = ("COMPLETED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")
UNKNOWN = Place("")


@dataclass(eq=False)
class _Running:
    """A task with a job. `silent`: looks at the queue in which its job was over or unknown."""

    task: Task
    batch: Batch
    number: int
    place: Place = UNKNOWN
    silent: int = 0
    told: str = ""  # why it waits

    @property
    def job(self) -> str:
        return self.batch.id_of(self.number)

    @property
    def reading(self) -> Reading:
        return Reading(self.batch.files(self.number))


@dataclass
class _State:
    """What runs, and what has run."""

    folder: Path = Path(os.devnull)
    running: list[_Running] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)  # by task


class Slurm(Executor):
    Config = SlurmConfig

    def __init__(self, config: SlurmConfig, engine: Engine):
        super().__init__(config, engine)
        self._state = _State()

    @cached_property
    def _nodes(self) -> list[SlurmNode]:
        """Those of the partition that are up; empty where Slurm cannot be asked: preflight says why."""
        try:
            return [node for node in nodes(self.config.partition) if node.up]
        except SlurmError:
            return []

    @property
    def _slots(self) -> tuple[int, ...]:
        """The GPUs of each node; the simulated engine needs none and counts one a node."""
        if self.engine.device != "cuda" and self.engine.kind != "simulated":
            return tuple(0 for _ in self._nodes)
        found = tuple(node.gpus_of(self.config.gpu_type) for node in self._nodes)
        return tuple(1 for _ in found) if self.engine.kind == "simulated" and not any(found) else found

    @property
    def gpus(self) -> int:
        return sum(self._slots)

    @property
    def parallel(self) -> int:
        return self.config.parallel or max(1, sum(max(1, slots) for slots in self._slots))

    @property
    def limits(self) -> Limits:
        return Limits(self.gpus, self.parallel, self.config.colocate, nodes=self._slots)

    @property
    def variables(self) -> Mapping[str, str]:
        return {}

    @property
    def detached(self) -> bool:
        return bool(self.config.detach)

    def problems(self) -> list[str]:
        return problems(self.config, self.engine)

    def node(self, folders: Mapping[str, Path], say: Callable[[str], None], wait: bool = True) -> Node | None:
        return node_facts(self.config, self.engine, folders, say, wait)

    def earlier(self, folder: Path) -> list[Task]:
        self._state.folder = folder
        for batch in kept(folder):
            if batch.job is None and (found := named(batch.name)):
                batch.note(found)
            left = [n for n in range(len(batch.tasks)) if not Reading(batch.files(n)).ended]
            if batch.job is None or not left:
                batch.remove()
                continue
            self._state.running += [_Running(batch.tasks[number], batch, number) for number in left]
        return [one.task for one in self._state.running]

    def run(self, tasks: Sequence[Task], receive: Receive) -> None:
        waiting = longest_first(tasks)
        for one in list(self._state.running):
            same = next((task for task in waiting if task.name == one.task.name), None)
            if same is None:  # of another plan of this store, whose command collects it
                self._state.running.remove(one)
            else:
                one.task = same
                waiting.remove(same)
                receive(same, UNKNOWN, Said(f"{same.name}: found its job {one.job}"))
        try:
            while True:
                self._submit(waiting, receive)
                waiting += self._follow(receive)
                if not waiting and not self._state.running:
                    return
                if self.detached and not self._ready(waiting):
                    self._say_detached(receive)
                    return
                time.sleep(self.config.poll_s)
        except BaseException:
            self._stop(receive)
            raise

    def _ready(self, waiting: Sequence[Task]) -> list[Task]:
        """Return what can be submitted: all that reads no results of what has not ended."""
        unfinished = {task.name for task in waiting} | {one.task.name for one in self._state.running}
        return [task for task in waiting if not unfinished & {*task.after}]

    def _submit(self, waiting: list[Task], receive: Receive) -> None:
        """Submit what is ready: one job, or an array where several need the same."""
        ready = sorted(self._ready(waiting), key=_alike)
        for _, group in groupby(ready, _alike):
            tasks = longest_first(list(group))
            with held(), disk.naming(self._state.folder):
                batch = Batch.written(self._state.folder / FOLDER, tasks)
                batch.note(self._submitted(batch))
                for number, task in enumerate(tasks):
                    waiting.remove(task)
                    self._state.running.append(_Running(task, batch, number))
                    self._state.starts[task.name] = self._state.starts.get(task.name, 0) + 1
            for number, task in enumerate(tasks):
                receive(task, UNKNOWN, Said(f"{task.name}: submitted as job {batch.id_of(number)}"))

    def _submitted(self, batch: Batch) -> str:
        """Return the id of the job, or of the array. Raises SlurmError."""
        import submitit

        from harness.executors.slurm.job import SessionJob

        task = batch.tasks[0]
        limit = self.config.time_min or max(map(minutes, batch.tasks))
        executor = submitit.SlurmExecutor(folder=batch.folder)
        executor.update_parameters(
            job_name=batch.name,
            time=limit,
            signal_delay_s=SIGNAL_S,
            array_parallelism=self.parallel,
            stderr_to_stdout=True,
            srun_args=[f"--cpus-per-task={self.config.cpus_per_task}"],
            additional_parameters=options(self.config, self._asked_gpus(task), task.needs.times) | {"requeue": True},
        )
        try:
            with executor.batch():
                sent = [
                    executor.submit(SessionJob(str(batch.folder), number, str(one.log)))
                    for number, one in enumerate(batch.tasks)
                ]
            return sent[0].job_id.split("_")[0]
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            batch.remove()
            raise SlurmError(f"Slurm refused a job for {task.name}: {str(error).strip().splitlines()[-1]}") from None

    def _asked_gpus(self, task: Task) -> int:
        there = any(node.gpus_of(self.config.gpu_type) for node in self._nodes)
        return task.needs.gpus if there or self.engine.kind != "simulated" else 0

    def _follow(self, receive: Receive) -> list[Task]:
        """Pass on what has arrived, and return the tasks that are to be submitted once more."""
        try:
            states: Mapping[str, JobState] | None = jobs()  # before their events: what has ended has said all by then
        except SlurmError:
            states = None  # slurmctld is restarted, perhaps
        again = list[Task]()
        for one in list(self._state.running):
            over = self._read(one, receive)
            if over is None and states is not None:
                over = self._gone(one, states.get(one.job), receive)
            if over is None:
                continue
            self._state.running.remove(one)
            one.reading.end()
            if not any(other.batch.folder == one.batch.folder for other in self._state.running):
                one.batch.remove()
            if over.again and self._state.starts.get(one.task.name, 0) < STARTS:
                receive(one.task, one.place, Said(f"{one.task.name}: {over.ended.error}; submitted once more"))
                again.append(one.task)
            else:
                receive(one.task, one.place, over.ended)
        return again

    def _read(self, one: _Running, receive: Receive) -> "_Over | None":
        """Pass on a job's new events, and return its end where it has told of it."""
        for event in one.reading.new():
            match event:
                case Began(place, _, at_s):
                    one.place = place
                    receive(one.task, place, Started(at_s))
                case Over(code, at_s):
                    return _Over(Ended(death(code), at_s))
                case _:
                    receive(one.task, one.place, event)
        return None

    def _gone(self, one: _Running, state: JobState | None, receive: Receive) -> "_Over | None":
        """Return the end of a job that is no longer there and has not told of it."""
        if state and not state.over:
            one.silent = 0
            if state.state == "PENDING" and state.reason not in (*USUAL, one.told):
                one.told = state.reason
                receive(one.task, one.place, Said(f"{one.task.name}: job {one.job} waits: {state.reason}"))
            return None
        one.silent += 1
        if one.silent < SILENT:  # its last events may still be on their way through the file system
            return None
        node = f" on {state.node}" if state and state.node else ""
        why = state.words if state else "Slurm no longer knows it"
        return _Over(Ended(f"job {one.job}{node}: {why}"), bool(state and state.state in AGAIN))

    def _stop(self, receive: Receive) -> None:
        """Cancel the jobs, unless they are detached, and store what they had measured."""
        if not self._state.running:
            return
        if self.detached:
            return self._say_detached(receive)
        with held():
            ids = [one.job for one in self._state.running]
            receive(self._state.running[0].task, UNKNOWN, Said(f"cancelling {_jobs(ids)}"))
            deadline = time.monotonic() + ENDING_S
            cancel(ids)
            while self._state.running and time.monotonic() < deadline:
                try:
                    self._follow(receive)
                except HarnessError:
                    continue  # the disk that ended the run is still full
                time.sleep(min(1.0, self.config.poll_s))

    def _say_detached(self, receive: Receive) -> None:
        one = self._state.running[0]
        ids = _jobs([other.job for other in self._state.running])
        receive(one.task, one.place, Said(f"{ids} went on in Slurm; the same command collects what is measured"))


@dataclass(frozen=True)
class _Over:
    ended: Ended
    again: bool = False  # through no fault of the task


def _alike(task: Task) -> tuple[int, bool]:
    return task.needs.gpus, task.needs.times


def _jobs(ids: Sequence[str]) -> str:
    return f"job {ids[0]}" if len(ids) == 1 else f"jobs {', '.join(ids)}"
