"""Runs a plan's sessions on an executor and stores what they send: this process alone writes the store."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from harness.config.schema import Config
from harness.errors import DiskFull
from harness.executors import Ended, Place, Said, Started, Task
from harness.machine import host
from harness.records.cell_files import slug
from harness.records.fields import Json
from harness.records.placement import Placement
from harness.records.record import Record
from harness.sweeps.distributed.neighbours import neighbour_flag
from harness.sweeps.distributed.parts import Part
from harness.sweeps.distributed.session_events import (
    Failed,
    Measured,
    PhaseNoted,
    ProbeMeasured,
    Refused,
    SessionWork,
    Shown,
    SpentNoted,
)
from harness.sweeps.estimates.phases import phases_of_part
from harness.sweeps.kinds import KINDS
from harness.sweeps.prepare import shared_folders
from harness.sweeps.run import Run

ENTRY, RESUME = "harness.sweeps.distributed.session_worker:measure", "harness.sweeps.distributed.session_events:resumed"
CLOCK_S = 1.0  # resolution of a record's `started_at`
STARTS = 2  # a session whose process died is started once more for the cells that are left


@dataclass
class _Stay:
    """When a session ran, in seconds since the epoch, by the clock of its machine."""

    task: Task
    place: Place
    start_s: float
    end_s: float = float("inf")


@dataclass
class SideBySide:
    """A run on an executor. `died`: why the processes of sessions ended before their work did."""

    run: Run
    parts: dict[str, Part]  # by the name of its task
    after_session: Callable[[Run], None] = lambda run: None  # called where no other session runs
    earlier: frozenset[str] = frozenset()  # tasks that an earlier run started, and the executor follows
    stays: list[_Stay] = field(default_factory=list)
    died: dict[str, str] = field(default_factory=dict)

    def measure(self) -> None:
        """Measure what is missing. DiskFull and KeyboardInterrupt pass through."""
        run, executor = self.run, self.run.prepared.executor
        left = [part for name, part in self.parts.items() if name in self.earlier or run.pending(part.session)]
        for _ in range(STARTS):
            if not left:
                return
            self.died.clear()
            executor.run([self._task(part) for part in left], self.receive)
            begun = self.died if executor.detached else self.parts
            left = [self.parts[name] for name in begun if run.pending(self.parts[name].session)]
        for name, error in self.died.items():
            part = self.parts[name]
            for cell in run.pending(part.session):
                run.fail(cell, f"not run: {error}, {STARTS} times", self._log(part))

    def receive(self, task: Task, place: Place, event: Any) -> None:
        run, part = self.run, self.parts[task.name]
        match event:
            case Started(at_s):
                self._leave(task, at_s)
                self.stays.append(_Stay(task, place, at_s))
                run.progress.say(self._running())
            case Said(line):
                run.progress.say(line)
            case Measured(record, rows, samples):
                run.accept(self._placed(task, place, record), rows, samples)
            case ProbeMeasured(fingerprint, probe, rows):
                run.store.probes.keep(fingerprint, probe, rows)
            case Failed(key, error, log):
                run.note_failure(key, error, log)
            case SpentNoted(taken):
                run.store.note_spent(taken)
            case PhaseNoted(finished):
                run.estimates.took(finished.key, finished.seconds)
                run.store.note_phase(finished)
            case Shown(method, arguments):
                self._show(task, method, arguments)
            case Refused(error, full):
                if full:
                    raise DiskFull(error)
                for cell in run.pending(part.session):
                    run.fail(cell, error, self._log(part))
            case Ended(error, at_s):
                self._leave(task, at_s)
                run.progress.session_done(task.name)
                if error:
                    self.died[task.name] = error
                    run.progress.say(f"{task.name}: {error}; its log: {self._log(part)}")
                if all(one.end_s < float("inf") for one in self.stays):
                    self.after_session(run)

    def _leave(self, task: Task, at_s: float) -> None:
        for stay in self.stays:
            if stay.task.name == task.name:
                stay.end_s = min(stay.end_s, at_s)

    def _task(self, part: Part) -> Task:
        return replace(
            part.task,
            entry=ENTRY,
            resume=RESUME,
            log=self._log(part),
            cells=part.task.cells or tuple(cell.fingerprint for cell in part.session.cells),
            describe=partial(self._describe, part),
        )

    def _log(self, part: Part) -> Any:
        return self.run.store.logs / f"{slug(part.task.name)}.session.log"

    def _describe(self, part: Part) -> bytes:
        run, store = self.run, self.run.store
        pending = run.pending(part.session)
        known = [cell.fingerprint for cell in pending if cell.fingerprint in store]
        planned = next(s for s in run.plan.sessions if {c.key for c in s.cells} >= {c.key for c in part.session.cells})
        work = SessionWork(
            config=_absolute(run.prepared.asked),
            session=planned.name,
            name=part.task.name,
            root=str(store.root),
            wanted=tuple(cell.fingerprint for cell in pending),
            phases=phases_of_part(run.estimates.of(planned.name), part.task.name, {cell.key for cell in pending}),
            records={fingerprint: store.record(fingerprint) for fingerprint in known},
            earlier={cell.fingerprint: store.earlier_tries(cell.fingerprint) for cell in pending},
            rows=self._answers(part),
            probes={cell.fingerprint: store.probes.read(cell.fingerprint) for cell in pending},
            node=host.node(),
        )
        return pickle.dumps(work)

    def _answers(self, part: Part) -> dict[str, list[Json]]:
        """Return the stored answers that the part judges."""
        suites = {cell.suite for cell in part.session.cells if cell.kind == "judge"}
        wanted = [cell.fingerprint for cell in self.run.plan.cells if cell.kind == "accuracy" and cell.suite in suites]
        return {
            fingerprint: self.run.store.rows(fingerprint) for fingerprint in wanted if fingerprint in self.run.store
        }

    def _placed(self, task: Task, place: Place, record: Record) -> Record:
        """Return the record with its place, and a flag where neighbours may have changed how fast it was."""
        start_s = datetime.fromisoformat(record.started_at).timestamp()
        end_s = start_s + (record.duration_s or 0.0)
        others = (s for s in self.stays if s.task.name != task.name and s.place.host == place.host)
        stays = [stay for stay in others if stay.end_s > start_s + CLOCK_S and stay.start_s < end_s]
        neighbours = {stay.task.name: stay.task.needs.times for stay in stays}
        flag = None
        if neighbours and KINDS[record.cell.kind].times:
            flag = neighbour_flag(neighbours, self.run.prepared.executor.interference)
        placement = Placement(place.host, place.gpus, place.cores, tuple(neighbours))
        return replace(record, flags=(*record.flags, flag) if flag else record.flags, placement=placement)

    def _show(self, task: Task, method: str, arguments: tuple[Any, ...]) -> None:
        progress = self.run.progress
        if method == "cell":
            progress.cell(arguments[0], task.name)
        elif method == "cell_done":
            key, outcome, seconds, _ = arguments  # it knows what is left of its session alone
            progress.cell_done(key, outcome, seconds, self.run.left_s())
        elif method == "advance":
            progress.advance(arguments[0], arguments[1], task.name)
        elif method == "add":
            progress.add(*arguments)
        elif method == "say":
            progress.say(*arguments)

    def _running(self) -> str:
        """Return a line like ``2 of 5 sessions run: bf16 on GPU 0, fp8 on GPU 1``."""
        stays = [stay for stay in self.stays if stay.end_s == float("inf")]
        told = (f"{s.task.name}{f' on GPU {_words(s.place)}' if s.place.gpus else ''}" for s in stays)
        return f"{len(stays)} of {len(self.parts)} sessions run: {', '.join(told)}"


def _words(place: Place) -> str:
    return "+".join(gpu[:12] for gpu in place.gpus)


def _absolute(config: Config) -> Config:
    """Return the configuration with folders that mean the same in another working directory or home."""
    folders = shared_folders(config)
    return replace(config, results_dir=str(folders["results_dir"]), cache_dir=str(folders["cache_dir"]))
