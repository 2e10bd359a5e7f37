"""The nodes of a Ray cluster: how the harness reaches them and gets there, what they are, and what they lack."""

import contextlib
import os
import shutil
import signal
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement

from harness.errors import ConfigError
from harness.executors.ray import node as ray_node
from harness.executors.ray.node import Look
from harness.machine.interrupts import SIGNALS
from harness.machine.scratch import scratch
from harness.paths import PACKAGE, conf_dir, conf_dirs, scenarios_dir

CONNECT_S = 5.0
LEAST_GB = 0.5  # for logs, requests and answers
LOOK_S = 120.0  # for a node's first worker, which gets the harness first
UNPACKAGED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class RayNode:
    """A living node, as Ray tells of it."""

    id: str
    host: str
    address: str
    resources: Mapping[str, float]

    @property
    def gpus(self) -> int:
        return int(self.resources.get("GPU", 0))

    @property
    def cpus(self) -> float:
        return self.resources.get("CPU", 0.0)

    @property
    def label(self) -> str:
        return f"{self.host} ({self.address}, {self.id[:6]})"

    def is_named(self, names: Sequence[str]) -> bool:
        return any(name in (self.host, self.address) or (len(name) > 5 and self.id.startswith(name)) for name in names)


def connect(address: str, runtime_env: Mapping[str, Any]) -> ModuleType:
    """Return `ray`, connected, with the harness and its configuration on the way to the nodes. Raises ConfigError."""
    try:
        import ray
    except ImportError:
        raise ConfigError("executor=ray needs Ray: pip install 'harness[ray]'") from None
    if ray.is_initialized():
        return ray
    _check_listens(address)
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"  # of `ray job submit`: its own settings stay, ours are added
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with scratch("ray") as folder:
            _package(folder)
            environment = {"working_dir": str(folder), **runtime_env}
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "namespace": "harness"}
            ray.init(address=address, runtime_env=environment, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        raise ConfigError(f"executor.address={address}: {_reason(error)}") from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray's exits at once, and would leave the store locked
    return ray


def _check_listens(address: str) -> None:
    """Raise ConfigError where nobody listens; Ray itself would try for half a minute and print every try."""
    where = _found() if address == "auto" else address.removeprefix("ray://")
    if where is None:
        return  # Ray says at once that there is none
    name, _, port = where.rpartition(":")
    if not name or not port.isdigit():
        raise ConfigError(f"executor.address={address}: must be auto, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((name, int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"executor.address={address}: no Ray listens there ({why}); start one with `ray start --head`, or "
            "correct the address (`ray status` names it)"
        ) from None


def _found() -> str | None:
    """Return the address that Ray takes for `auto`; its cluster may have ended since. None: it knows of none."""
    if named := os.environ.get("RAY_ADDRESS"):
        return named.removeprefix("ray://") if named != "auto" else None
    note = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    with contextlib.suppress(OSError):
        return note.read_text().strip() or None
    return None


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = " ".join(dict.fromkeys([lines[0], lines[-1]]))
    if isinstance(error, ConnectionError) and "find any running" in text:
        return "no Ray runs on this machine; start one with `ray start --head`, or set executor.address=HOST:PORT"
    return f"{text[:300]}; the nodes need this machine's versions of Python and Ray"


def _package(folder: Path) -> None:
    """Lay out what travels: the package as in a wheel, and the sweep's own `conf/`."""
    shutil.copytree(PACKAGE, folder / "harness", ignore=UNPACKAGED)
    for inside, source in (("conf", conf_dir()), ("scenarios", scenarios_dir())):
        shutil.copytree(source, folder / "harness" / inside, ignore=UNPACKAGED, dirs_exist_ok=True)
    for own in conf_dirs()[:-1]:
        shutil.copytree(own, folder / "conf", ignore=UNPACKAGED)


def living(ray: ModuleType) -> list[RayNode]:
    return [
        RayNode(node["NodeID"], node["NodeManagerHostname"], node["NodeManagerAddress"], node["Resources"])
        for node in ray.nodes()
        if node["Alive"]
    ]


def usable(nodes: Sequence[RayNode], named: Sequence[str] | None, resources: Mapping[str, float], gpus: bool) -> list:
    """Return the nodes that sessions may run on: those with GPUs, or with CPUs for an engine on CPUs. Pure."""
    return [
        node
        for node in nodes
        if (named is None or node.is_named(named))
        and (node.gpus > 0 if gpus else node.cpus > 0)
        and all(node.resources.get(name, 0.0) >= amount for name, amount in resources.items())
    ]


def on_node(ray: ModuleType, node: RayNode, function: Any, **options: Any) -> Any:
    """Return a function or class that runs on this node and no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    strategy = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return ray.remote(function).options(scheduling_strategy=strategy, **{"num_cpus": 0, **options})


def packages() -> dict[str, str]:
    """Versions of what the harness imports: results depend on them, so every node has the same."""
    named = [Requirement(line) for line in requires("harness") or ()]
    wanted = [one.name for one in named if one.marker is None or one.marker.evaluate({"extra": ""})]
    return {name: version(name) for name in wanted}


def look_at(ray: ModuleType, nodes: Sequence[RayNode], folders: Sequence[str], ask_hub: bool) -> dict[str, Look | str]:
    """Return what each node is, by its id, or why it did not answer. `folders`: the cache folder first.

    A node that is lost meanwhile is left out: Ray names one as living until some seconds after its death.
    """
    if not nodes:
        return {}
    found = _look_at(ray, nodes, folders, ask_hub)
    still = {node.id for node in living(ray)}
    left = [node for node in nodes if node.id in still]
    return found if len(left) == len(nodes) else look_at(ray, left, folders, ask_hub)  # with a token of one that lives


def _look_at(ray: ModuleType, nodes: Sequence[RayNode], folders: Sequence[str], ask_hub: bool) -> dict[str, Look | str]:
    token = f".shared-{uuid.uuid4().hex}"
    with _token(ray, nodes, folders[0], token):
        asked = {
            node.id: on_node(ray, node, ray_node.look).remote(folders, token, list(packages()), ask_hub)
            for node in nodes
        }
        ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=LOOK_S)
        found: dict[str, Look | str] = {}
        for name, answer in asked.items():
            try:
                found[name] = ray.get(answer) if answer in ready else f"did not answer within {LOOK_S:.0f} s"
            except ray.exceptions.RayError as error:
                found[name] = f"cannot run the harness: {last_line(error)}"
        return found


@contextlib.contextmanager
def _token(ray: ModuleType, nodes: Sequence[RayNode], folder: str, token: str) -> Iterator[None]:
    """A file that the first node writes into its cache folder while the context lasts."""
    first = on_node(ray, nodes[0], ray_node.leave).remote(folder, token)
    ray.wait([first], timeout=LOOK_S)
    try:
        yield
    finally:
        ray.wait([on_node(ray, nodes[0], ray_node.take_away).remote(folder, token)], timeout=LOOK_S)


def last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__


def problems(found: Mapping[str, Look | str], labels: Mapping[str, str], shared: bool, least_gb: float) -> list[str]:
    """Return what nodes lack, a line for each problem with the nodes that have it. Pure.

    `labels`: how messages name a node; `shared`: whether all must see one cache folder.
    """
    lines: dict[str, list[str]] = {}

    def note(problem: str, node: str) -> None:
        lines.setdefault(problem, []).append(labels[node])

    looks = {name: look for name, look in found.items() if isinstance(look, Look)}
    for name, answer in found.items():
        if isinstance(answer, str):
            note(answer, name)
    here = packages()
    for name, look in looks.items():
        for package, there in look.packages.items():
            if there != here[package]:
                note(f"{package} {there or 'is missing'}; the driver has {here[package]}: install the same there", name)
        for folder, why in look.unwritable.items():
            note(f"nothing can be written in {folder} ({why}); set cache_dir= and results_dir= to folders there", name)
        for folder, free in look.free_gb.items():
            if free < least_gb:
                note(f"{folder}: {free:.1f} GB free, {least_gb:g} GB wanted; free some or set cache_dir=", name)
        if shared and not look.shares and not look.unwritable:
            first = labels[next(iter(found))]
            note(f"cache_dir is not the folder that {first} has; set cache_dir= to one that all nodes share", name)
        if look.hub:
            note(f"{look.hub}; connect it, or use local data and models", name)
    return [f"{_words(nodes)}: {problem}" for problem, nodes in lines.items()] + kinds(looks, labels)


def kinds(looks: Mapping[str, Look], labels: Mapping[str, str]) -> list[str]:
    """Return a line where nodes are of different kinds: a sweep is measured on one."""
    groups: dict[str, list[str]] = {}
    for name, look in looks.items():
        groups.setdefault(look.node.kind, []).append(labels[name])
    if len(groups) < 2:
        return []
    told = "; ".join(f"{_words(nodes)}: {kind}" for kind, nodes in groups.items())
    return [
        f"the nodes are of {len(groups)} kinds, and a sweep is measured on one ({told}); choose with "
        "executor.nodes=[HOST,...] or executor.accelerator=NAME"
    ]


def _words(names: Sequence[str]) -> str:
    return f"node {names[0]}" if len(names) == 1 else f"{len(names)} nodes ({', '.join(names)})"
