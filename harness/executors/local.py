"""Runs sessions side by side on this machine: a process each, with separate GPUs, CPU cores, ports and caches."""

import contextlib
import os
import platform
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from harness.engines import Engine
from harness.errors import HarnessError
from harness.executors import (
    ACCURACY,
    ALL,
    AUTO,
    NONE,
    Ended,
    Executor,
    Limits,
    Needs,
    Place,
    Receive,
    Started,
    Task,
    cores,
    death,
    frames,
    setting_problems,
)
from harness.executors.interference import known
from harness.executors.packing import longest_first, next_task
from harness.executors.slots import SETTING, Slots, declared, slots
from harness.machine import disk, host, nvml
from harness.machine.devices import VARIABLE
from harness.machine.interrupts import held
from harness.machine.pipes import close, piped
from harness.records.interference import Interference
from harness.telemetry.problems import others

ENDING_S = 60.0  # that a session gets to stop its engine; engines are killed long before that
READ_BYTES = 1 << 20
CACHES = "engine_caches"  # in cache_dir: a folder for each slot but the first


@dataclass
class LocalConfig:
    """Sessions side by side on this machine. With one GPU, or none, they run one after the other."""

    kind: str = "local"
    gpus: list[Any] | None = None  # indices or UUIDs, MIG instances too; null: the free ones that CUDA shows
    parallel: int | None = None  # sessions at once; null: one for each GPU; on CPUs: as many share them
    colocate: str = AUTO  # beside a load session: none | accuracy | all; auto: as `harness interference` decided


@dataclass
class _Running:
    task: Task
    place: Place
    slots: tuple[int, ...]
    process: subprocess.Popen
    arriving: frames.Frames = field(default_factory=frames.Frames)


class Local(Executor):
    Config = LocalConfig
    tests_interference = True

    def __init__(self, config: LocalConfig, engine: Engine):
        super().__init__(config, engine)
        self._running: dict[int, _Running] = {}  # by the descriptor of its events
        self._ended: set[str] = set()
        self._stopping = False

    @cached_property
    def _slots(self) -> Slots:
        asked, engine = self.config.gpus, self.engine
        if engine.device != "cuda":
            return declared(asked or ()) if engine.kind == "simulated" else Slots()
        environment = {**os.environ, **engine.env}
        try:
            with nvml.opened() as library:
                found = slots(asked, nvml.gpus(library), environment)
                return found if asked is not None else found.keeping(lambda device: not others(library, device))
        except nvml.NvmlAbsent:
            return slots(asked, [], environment)

    @property
    def gpus(self) -> int:
        found = len(self._slots)
        fixed = VARIABLE in self.engine.env and self.config.gpus is None  # part of the fingerprint: not ours to change
        one_by_one = self.config.parallel == 1 and not (self.config.gpus and self.engine.device == "cuda")
        return 0 if fixed or one_by_one or (found <= 1 and self.config.gpus is None) else found

    @property
    def parallel(self) -> int:
        return self.config.parallel or max(1, self.gpus)

    @property
    def serial(self) -> bool:
        return self.gpus == 0 and not self._shares

    @cached_property
    def _shares(self) -> list[tuple[int, ...]]:
        """The cores of each session, where several engines compute on the CPU; empty: each has all."""
        wanted = self.config.parallel or 1
        if self.engine.device != "cpu" or wanted < 2:
            return []
        return [share for share in cores.shares(cores.nodes(), wanted, least=1) if share]

    @property
    def machine(self) -> dict[str, object]:
        engine = {"kind": self.engine.kind, "version": self.engine.version}
        gpus = [device.name for device in self._slots.devices] or list(self._slots.declared)
        shares = [len(share) for share in self._cores]
        here = host.identity()
        return {"cpu": here["cpu"], "cores": here["cores"], "gpus": gpus, "shares": shares, "engine": engine}

    @property
    def interference(self) -> Interference | None:
        return None if self.serial else known(self.engine.cache_dir, self.machine)

    @property
    def session_cores(self) -> int | None:
        return len(self._shares[0]) if self._shares else None

    @property
    def limits(self) -> Limits:
        here = sum(map(len, cores.nodes().values()))
        return replace(super().limits, cores=here if self._slots.devices else 0)

    @property
    def variables(self) -> dict[str, str]:
        return self._slots.variables(range(self.gpus))

    def problems(self) -> list[str]:
        asked, engine = self.config.gpus, self.engine
        found = list(self._slots.problems)
        if asked is not None and engine.device != "cuda" and engine.kind != "simulated":
            found.append(f"{SETTING}={asked}: {engine.label} uses no NVIDIA GPU of this machine; set {SETTING}=null")
        if asked is not None and VARIABLE in engine.env:
            found.append(f"{SETTING} and engine.env.{VARIABLE} both choose GPUs; leave one of them out")
        if asked == []:
            found.append(f"{SETTING}=[] leaves no GPU; name those to use, or set {SETTING}=null for all")
        shared = not self.serial and self.limits.width > 1
        found += setting_problems(self.config, engine, (AUTO, NONE, ACCURACY, ALL), shared)
        if engine.device == "cpu" and (self.config.parallel or 1) > 1 and not self._shares:
            there = sum(map(len, cores.nodes().values()))
            found.append(
                f"executor.parallel={self.config.parallel}: {engine.label} computes on this machine's {there} "
                "CPU cores, fewer than one for each session"
            )
        return found

    @cached_property
    def _cores(self) -> list[tuple[int, ...]]:
        if self._shares:
            return self._shares
        homes: list[int | None] = []
        with contextlib.suppress(nvml.NvmlAbsent), nvml.opened() as library:
            homes = [cores.node_of(nvml.pci_bus_id(library, device)) for device in self._slots.devices]
        return cores.shares(cores.nodes(), self.gpus, homes)

    def run(self, tasks: Sequence[Task], receive: Receive) -> None:
        waiting = longest_first(tasks)
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or self._running:
                    while task := self._next(waiting):
                        waiting.remove(task)
                        self._start(task, selector, receive)
                    for key, _ in selector.select():
                        self._read(key.fd, selector, receive)
            finally:
                self._stop(selector, receive)

    def _next(self, waiting: Sequence[Task]) -> Task | None:
        busy = list(self._running.values())
        free_gpus = len(self._free()) if self.gpus else 0
        return next_task(waiting, [one.task for one in busy], self._ended, free_gpus, self.limits)

    def _free(self) -> list[int]:
        taken = {number for one in self._running.values() for number in one.slots}
        return [number for number in range(self.gpus or len(self._shares)) if number not in taken]

    def _place(self, needs: Needs, numbers: tuple[int, ...]) -> Place:
        """The cores of the GPUs' slots; a session without a GPU is bound to none, but for an engine on the CPU.

        Engines that start at the same time do not share a cache of compiled kernels: the first slot has the user's, the
        others one each, which the next run finds again.
        """
        bound = tuple(core for number in numbers if number < len(self._cores) for core in self._cores[number])
        gpus = () if self._shares else numbers
        names, variables = self._slots.names(gpus), self._slots.variables(gpus)
        if numbers and numbers[0] > 0:
            variables |= self.engine.cache_variables(self.engine.cache_dir / CACHES / str(numbers[0]))
        return Place(platform.node(), names, bound, variables)

    def _start(self, task: Task, selector: selectors.BaseSelector, receive: Receive) -> None:
        numbers = tuple(self._free()[: 1 if self._shares else task.needs.gpus])
        place, description = self._place(task.needs, numbers), task.describe()
        with held(), disk.naming(task.log.parent):
            task.log.parent.mkdir(parents=True, exist_ok=True)
            with task.log.open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "harness.executors.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is ours to handle
                )
            events = piped(process.stdout).fileno()
            self._running[events] = _Running(task, place, numbers, process)
            selector.register(events, selectors.EVENT_READ)
        receive(task, place, Started())
        try:
            frames.write(piped(process.stdin), (task.entry, description, place))
        except BrokenPipeError:
            return  # it died at once: its output ends

    def _read(self, events: int, selector: selectors.BaseSelector, receive: Receive) -> None:
        one = self._running[events]
        if data := os.read(events, READ_BYTES):
            for event in one.arriving.feed(data):
                receive(one.task, one.place, event)
            return
        with held():
            selector.unregister(events)
            del self._running[events]
            self._ended.add(one.task.name)
            code = _end(one.process)
        receive(one.task, one.place, Ended(None if self._stopping else death(code)))

    def _stop(self, selector: selectors.BaseSelector, receive: Receive) -> None:
        """Interrupt what runs, store what it had measured, and wait until its engines have stopped."""
        self._stopping = bool(self._running)
        with held():
            for one in self._running.values():
                close(one.process.stdin)
            deadline = time.monotonic() + ENDING_S
            while self._running and time.monotonic() < deadline:
                for key, _ in selector.select(1.0):
                    with contextlib.suppress(HarnessError):  # the disk that ended the run is still full
                        self._read(key.fd, selector, receive)
            for one in self._running.values():
                one.process.kill()
                _end(one.process)
            self._running.clear()


def _end(process: subprocess.Popen) -> int:
    """The exit code of a process whose output has ended."""
    try:
        code = process.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    close(process.stdin)
    close(process.stdout)
    return code
