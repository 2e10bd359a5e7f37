"""What Ray runs on a node: a look at it, and sessions, each in the same process as on one machine (worker.py)."""

import contextlib
import os
import platform
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import harness
from harness.executors import Place, cores, frames
from harness.machine import nvml
from harness.machine.devices import ORDER, visible
from harness.machine.host import Node
from harness.machine.pipes import close, piped

ENDING_S = 60.0  # that a session gets to stop its engine
WAIT_S = 0.5  # for events, in which a stop waits
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Look:
    """What a node is and lacks. `packages`: versions, None for one that is not installed."""

    host: str
    node: Node
    packages: dict[str, str | None]
    unwritable: dict[str, str]  # folder -> why nothing can be written there
    free_gb: dict[str, float]  # of each folder's disk
    shares: bool  # whether it sees the token in the cache folder
    hub: str | None  # why the Hugging Face hub does not answer; None: it does, or was not asked


def look(folders: Sequence[str], token: str, packages: Sequence[str], ask_hub: bool) -> Look:
    """`folders`: the cache folder, in which `token` is looked for, and others that sessions write in."""
    places = {folder: Path(folder).expanduser() for folder in folders}
    unwritable, free_gb = {}, {}
    for folder, path in places.items():
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"\0" * 4096)
            free_gb[folder] = shutil.disk_usage(path).free / 1e9
        except OSError as error:
            unwritable[folder] = error.strerror or type(error).__name__
    return Look(
        platform.node(),
        Node.here(),
        {name: _version(name) for name in packages},
        unwritable,
        free_gb,
        (next(iter(places.values())) / token).exists(),
        _no_hub() if ask_hub else None,
    )


def leave(folder: str, token: str) -> None:
    """Put the token into the cache folder, for the other nodes to find. A folder that cannot be written has none."""
    with contextlib.suppress(OSError):
        Path(folder).expanduser().mkdir(parents=True, exist_ok=True)
        (Path(folder).expanduser() / token).touch()


def take_away(folder: str, token: str) -> None:
    with contextlib.suppress(OSError):
        (Path(folder).expanduser() / token).unlink(missing_ok=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _no_hub() -> str | None:
    from harness.hub.access import unreachable

    return unreachable()


@dataclass(frozen=True)
class Order:
    """A session that a node is to run. `slots`: sessions with a GPU that the node has room for."""

    entry: str
    description: bytes = field(repr=False)
    log: str
    folder: str  # of the driver: relative paths of the sweep are read there, where the node has it
    variables: dict[str, str] = field(repr=False)  # of the driver's environment
    node: str  # Ray's id of it
    slots: int = 1


@dataclass(frozen=True)
class Ending:
    """How a session's process ended, and the last line of its log where that was not well."""

    code: int
    said: str | None


class SessionActor:
    """A session on this node. Ray starts it with the session's GPUs, and kills it when the driver is gone.

    An actor that is asked for events, and no task that streams them: Ray's client (ray://) has no streaming, and what
    was measured before a stop still arrives.
    """

    def __init__(self, order: Order):
        self.order, self.arriving = order, frames.Frames()
        self.process: subprocess.Popen | None = None

    def start(self) -> Place:
        """Start the session's process. It stops its engine when this process ends, however that ends."""
        import ray

        order, gpus = self.order, [str(gpu) for gpu in ray.get_gpu_ids()]
        place, log = _place(gpus, order.slots), Path(order.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file, _held(order.node, gpus) as held:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.executors.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                cwd=order.folder if os.path.isdir(order.folder) else None,
                env=_environment(order),
                pass_fds=held,
                start_new_session=True,
            )
        with contextlib.suppress(OSError):  # Ray's workers are at nice 15 (RAY_worker_niceness); load has to be timed
            os.setpriority(os.PRIO_PROCESS, self.process.pid, os.getpriority(os.PRIO_PROCESS, os.getppid()))
        with contextlib.suppress(BrokenPipeError):
            frames.write(piped(self.process.stdin), (order.entry, order.description, place))
        return place

    def events(self) -> list[Any]:
        """Return what the session has told since the last call, waiting up to WAIT_S for it; last of all an Ending."""
        assert self.process is not None, "it was started"
        if not select.select([piped(self.process.stdout)], [], [], WAIT_S)[0]:
            return []
        if data := os.read(piped(self.process.stdout).fileno(), READ_BYTES):
            return list(self.arriving.feed(data))
        return [self._end()]

    def stop(self) -> list[Any]:
        """Interrupt the session and return what it still tells; it stops its engine meanwhile."""
        if self.process is None:
            return []
        close(self.process.stdin)
        rest, deadline = list[Any](), time.monotonic() + ENDING_S
        while not rest or not isinstance(rest[-1], Ending):
            rest += self.events() if time.monotonic() < deadline else [self._end()]
        return rest

    def _end(self) -> Ending:
        process = self.process
        assert process is not None
        try:
            code = process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return Ending(code, _last_line(Path(self.order.log)) if code else None)


@contextlib.contextmanager
def _held(node: str, gpus: Sequence[str]) -> Iterator[list[int]]:
    """Descriptors that hold the GPUs as long as a process has them open; wait until nobody else does.

    Ray gives GPUs away as soon as its worker is dead, when the session of a driver that was killed may still be
    stopping its engine. An abstract Unix socket leaves no file behind.
    """
    with contextlib.ExitStack() as stack:
        descriptors = []
        for gpu in gpus:
            lock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            deadline = time.monotonic() + ENDING_S
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    lock.bind(f"\0harness-{node}-{gpu}")
                    break
                time.sleep(0.1)
            descriptors.append(lock.fileno())
        yield descriptors


def _environment(order: Order) -> dict[str, str]:
    """Ray's environment, in which Ray has chosen the GPUs.

    Without OMP_NUM_THREADS, which Ray sets to the session's CPUs: engines would be slower than started by hand.
    """
    package = str(Path(harness.__file__).parent.parent)
    known = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    path = os.pathsep.join(filter(None, [package, known.get("PYTHONPATH")]))
    return {**known, **order.variables, ORDER: "PCI_BUS_ID", "PYTHONPATH": path}


def _place(gpus: Sequence[str], slots: int) -> Place:
    """The GPUs that Ray assigned, and the cores of their share of the node."""
    names, homes = tuple(gpus), list[int | None]()
    numbers = [int(gpu) for gpu in gpus if gpu.isdigit()]
    with contextlib.suppress(nvml.NvmlAbsent), nvml.opened() as library:
        devices = visible(nvml.gpus(library), {ORDER: "PCI_BUS_ID"}).devices
        names = tuple(devices[n].uuid for n in numbers if n < len(devices)) or names
        homes = [cores.node_of(nvml.pci_bus_id(library, device)) for device in devices][:slots]
    shares = cores.shares(cores.nodes(), slots, homes) if gpus else []
    bound = tuple(core for n in numbers if n < len(shares) for core in shares[n])
    return Place(platform.node(), names, bound)


def _last_line(log: Path) -> str | None:
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else None
    return None
