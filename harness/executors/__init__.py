"""Executors: what runs sessions. An executor is one module with one class, and one line in EXECUTORS.

A session travels as bytes and may run in another process or on another machine. There `entry` measures it, the same
code whatever the executor, and its events stream back to the process that writes the store.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from harness.engines import Engine
from harness.errors import ConfigError, did_you_mean
from harness.machine.host import Node
from harness.records.interference import Interference

EXECUTORS = {
    "local": "harness.executors.local:Local",
    "ray": "harness.executors.ray.cluster:RayCluster",
    "slurm": "harness.executors.slurm.cluster:Slurm",
}

AUTO = "auto"  # colocate: as the interference test of the machine decided; not run there: none
NONE, ACCURACY, ALL = "none", "accuracy", "all"  # values of colocate


@dataclass(frozen=True)
class Needs:
    """What a session needs of a machine."""

    gpus: int = 0
    cores: int = 0  # CPU cores that its engine and its load client keep busy: an estimate
    times: bool = False  # it measures time: what runs beside it may change its results


@dataclass(frozen=True)
class Limits:
    """What sessions can have at once, and what may run beside a session that measures time: none | accuracy | all."""

    gpus: int
    parallel: int
    colocate: str
    cores: int = 0  # shared by sessions of which one measures time; 0: not limited
    nodes: tuple[int, ...] = ()  # GPUs of each machine, where there are several; one without any runs one session

    @property
    def width(self) -> int:
        """Sessions at once, at most, where each takes one GPU or none has any."""
        return min(self.gpus, self.parallel) if self.gpus else self.parallel


@dataclass(frozen=True)
class Place:
    """Where a session runs.

    `variables`: the environment by which its engine sees its GPUs and no others. The entry sets it once the sweep is
    planned, as fingerprints name the GPUs that the whole sweep sees.
    """

    host: str
    gpus: tuple[str, ...] = ()  # UUIDs, or indices where none is known
    cores: tuple[int, ...] = ()  # CPUs that it is bound to; empty: all
    variables: dict[str, str] = field(default_factory=dict)
    outlives: bool = False  # the session goes on when the process that started it ends


@dataclass(frozen=True)
class Task:
    """A session to be run."""

    name: str
    needs: Needs
    estimate_s: float
    after: tuple[str, ...] = ()  # tasks whose results it reads
    entry: str = ""  # MODULE:FUNCTION, which is called with (description, place, emit)
    log: Path = Path(os.devnull)  # for what its process prints
    describe: Callable[[], bytes] = field(default=bytes, compare=False, repr=False)  # called when it starts
    cells: tuple[str, ...] = ()  # fingerprints of what it measures
    resume: str = ""  # MODULE:FUNCTION, which turns (description, its events so far) into what is left to do


@dataclass(frozen=True)
class Started:
    """The first event of a task; once more where it goes on after an interruption, on another machine perhaps."""

    at_s: float = field(default_factory=time.time, compare=False)  # by the clock of its machine


@dataclass(frozen=True)
class Said:
    """A line for the user."""

    line: str


@dataclass(frozen=True)
class Ended:
    """The last event of a task. `error`: why its process ended before its work did."""

    error: str | None = None
    at_s: float = field(default_factory=time.time, compare=False)


def death(code: int, where: str = "") -> str | None:
    """Return the `error` of an Ended for a session's process that ended with `code`; None: it did its work."""
    if code == 0:
        return None
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"its process {where}{how}"


def setting_problems(config: Any, engine: Engine, colocate: Sequence[str], shared: bool) -> list[str]:
    """Return what is wrong with the settings that all executors have, a line each. Pure.

    `colocate`: the values that this executor knows; `shared`: whether sessions may run on one machine at once.
    """
    found = []
    if engine.config.port is not None and shared:
        found.append(f"engine.port={engine.config.port} and several sessions on one machine: set engine.port=null")
    if config.parallel is not None and config.parallel < 1:
        found.append(f"executor.parallel={config.parallel}: must be at least 1")
    if config.colocate not in colocate:
        known = f"{', '.join(colocate[:-1])} or {colocate[-1]}"
        found.append(f"executor.colocate={config.colocate!r}: must be {known}")
    return found


Receive = Callable[[Task, Place, Any], None]  # an event: Started, what the entry emitted, Said, Ended
Emit = Callable[[Any], None]


class Executor(ABC):
    """Runs tasks. `problems` is for preflight; `gpus` is what the planner packs sessions onto."""

    Config: ClassVar[type[Any]]  # a dataclass: the settings of conf/executor

    def __init__(self, config: Any, engine: Engine):
        self.config, self.engine = config, engine

    @property
    @abstractmethod
    def gpus(self) -> int:
        """GPUs that sessions can have at once, of all nodes; 0: sessions have none."""

    @property
    @abstractmethod
    def parallel(self) -> int:
        """Sessions at once, at most."""

    @property
    def serial(self) -> bool:
        """Whether sessions run in this process, one after the other, on all of the machine."""
        return False

    @property
    def session_cores(self) -> int | None:
        """CPU cores of an engine that computes on them, part of its cells' fingerprints; None: all of the machine."""
        return None

    tests_interference: ClassVar[bool] = False  # its sessions at once share one machine, so that a test tells of them

    @property
    def machine(self) -> dict[str, object]:
        """What an interference test is of: the machine, the engine, and how many sessions share it."""
        return {}

    @property
    def interference(self) -> Interference | None:
        """The interference test of this machine; None: not measured."""
        return None

    @property
    def colocate(self) -> str:
        """What may run beside a session that measures time, on one machine: none | accuracy | all."""
        if self.config.colocate != AUTO:
            return self.config.colocate
        return self.interference.colocate if self.interference else NONE

    @property
    def limits(self) -> Limits:
        return Limits(self.gpus, self.parallel, self.colocate)

    @property
    def detached(self) -> bool:
        """Whether `run` returns once tasks are started, and they go on without this process."""
        return False

    def node(self, folders: Mapping[str, Path], say: Callable[[str], None], wait: bool = True) -> Node | None:
        """Return what the machines that measure are, where they are not this one: fingerprints name CPU and GPUs.

        `folders`: those that the machines share, by the setting that names them. Asked before the sweep is prepared,
        and kept where asking takes long; without `wait` only what is kept is returned. Raises HarnessError.
        """
        return None

    def earlier(self, folder: Path) -> list[Task]:
        """Return the tasks that an earlier run started and that `run` follows, running or ended since.

        `folder`: of the store, for what the executor keeps of its tasks. Called once, before `run`.
        """
        return []

    @property
    @abstractmethod
    def variables(self) -> Mapping[str, str]:
        """The environment that shows all of its GPUs of this machine, and no others; for preflight."""

    @abstractmethod
    def problems(self) -> list[str]:
        """Lines for preflight."""

    @abstractmethod
    def run(self, tasks: Sequence[Task], receive: Receive) -> None:
        """Run the tasks and pass on their events, in this thread, as they come.

        Every task that was started has an `Ended`, whatever happened to its process; a task without one still runs
        elsewhere when this returns (detached). A task starts once those that it is `after` have ended. When an
        exception passes through, a signal's or that of `receive`, nothing that was started is left behind.
        """


def executor_class(kind: str) -> type[Executor]:
    if kind not in EXECUTORS:
        raise ConfigError(f"executor.kind={kind!r}{did_you_mean(kind, list(EXECUTORS))}")
    module, name = EXECUTORS[kind].split(":")
    return getattr(import_module(module), name)


def call(entry: str, description: bytes, place: Place, emit: Emit) -> None:
    """Measure a session where it was sent to."""
    module, name = entry.split(":")
    getattr(import_module(module), name)(description, place, emit)
