"""Runs sessions on the nodes of a Ray cluster: an actor each, with the GPUs that it needs, on one node."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.engines import Engine
from harness.errors import ConfigError, HarnessError
from harness.executors import (
    ACCURACY,
    ALL,
    NONE,
    Ended,
    Executor,
    Limits,
    Place,
    Receive,
    Said,
    Started,
    Task,
    death,
    setting_problems,
)
from harness.executors.packing import longest_first, next_place
from harness.executors.ray import nodes as ray_nodes
from harness.executors.ray.node import ENDING_S, Ending, Look, Order, SessionActor
from harness.executors.ray.nodes import RayNode
from harness.executors.ray.settings import RayConfig
from harness.machine import scratch
from harness.machine.host import Node
from harness.machine.interrupts import held

LOOK_AGAIN_S = 5.0  # between two looks at which nodes live, while sessions wait
LOSSES = 10  # nodes that a session may lose before that counts as its own failure
TRAVEL = ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE")  # of the driver's environment


@dataclass(frozen=True)
class _Cluster:
    ray: ModuleType
    nodes: tuple[RayNode, ...]  # those that are used
    looks: dict[str, Look | str]  # by id
    on_gpus: bool  # whether sessions are packed onto GPUs; else one runs on each node

    @property
    def slots(self) -> tuple[int, ...]:
        return tuple(node.gpus if self.on_gpus else 0 for node in self.nodes)


@dataclass(eq=False)
class _Running:
    task: Task
    node: RayNode
    place: Place
    actor: Any
    waiting_for: Any  # the reference of its next events


class RayCluster(Executor):
    Config = RayConfig

    def __init__(self, config: RayConfig, engine: Engine):
        super().__init__(config, engine)
        self._running: list[_Running] = []
        self._ended: set[str] = set()
        self._lost: set[str] = set()  # ids of nodes
        self._folders = [str(engine.cache_dir), str(scratch.root())]  # on nodes; the cache first

    @cached_property
    def _cluster(self) -> _Cluster:
        config = self.config
        ray = ray_nodes.connect(config.address, config.runtime_env)
        nodes, on_gpus = self._usable(ray)
        if not nodes:
            raise ConfigError(self._no_node(ray_nodes.living(ray)))
        looks = ray_nodes.look_at(ray, nodes, self._folders, self._asks_hub)
        left = tuple(node for node in nodes if node.id in looks)
        if not left:
            raise ConfigError(self._no_node(ray_nodes.living(ray)))
        return _Cluster(ray, left, looks, on_gpus)

    def _usable(self, ray: ModuleType) -> tuple[list[RayNode], bool]:
        config, living = self.config, ray_nodes.living(ray)
        on_gpus = ray_nodes.usable(living, config.nodes, self._resources, True)
        if self.engine.device == "cuda" or (self.engine.kind == "simulated" and on_gpus):
            return on_gpus, True
        return ray_nodes.usable(living, config.nodes, self._resources, False), False

    @property
    def _resources(self) -> dict[str, float]:
        """What a node must have, and a session takes, beside GPUs and CPUs."""
        named = {f"accelerator_type:{self.config.accelerator}": 0.001} if self.config.accelerator else {}
        return {**self.config.resources, **named}

    def _no_node(self, living: Sequence[RayNode]) -> str:
        what = "a GPU" if self.engine.device == "cuda" else "CPUs"
        what = " and ".join([what, *(f"{name}: {amount:g}" for name, amount in self._resources.items())])
        among = f" among executor.nodes={self.config.nodes}" if self.config.nodes else ""
        there = "; ".join(f"{node.label}: {node.gpus} GPUs, {node.cpus:g} CPUs" for node in living) or "none"
        return f"executor=ray: no node has {what}{among}; the cluster's nodes: {there}"

    @property
    def _asks_hub(self) -> bool:
        return self.engine.loads_weights and not os.environ.get("HF_HUB_OFFLINE")

    def node(self, folders: Mapping[str, Path], say: Callable[[str], None], wait: bool = True) -> Node | None:
        self._folders = [str(folders["cache_dir"]), str(folders["results_dir"]), str(scratch.root())]
        say(f"looking at the nodes of the Ray cluster ({self.config.address})")
        cluster = self._cluster
        found = next((look.node for look in cluster.looks.values() if isinstance(look, Look)), None)
        if found is None:
            raise ConfigError("executor=ray: " + "; ".join(self.problems()))
        return found

    @property
    def gpus(self) -> int:
        return sum(self._cluster.slots)

    @property
    def parallel(self) -> int:
        return self.config.parallel or sum(max(1, slots) for slots in self._cluster.slots)

    @property
    def limits(self) -> Limits:
        return replace(super().limits, nodes=self._cluster.slots)

    @property
    def variables(self) -> Mapping[str, str]:
        return {}

    def problems(self) -> list[str]:
        config, cluster = self.config, self._cluster
        labels = {node.id: node.label for node in cluster.nodes}
        shared = config.shared_cache and self.engine.loads_weights and len(cluster.nodes) > 1
        found = ray_nodes.problems(cluster.looks, labels, shared, ray_nodes.LEAST_GB)
        if self.engine.device == "rocm":
            found.append("executor=ray assigns NVIDIA GPUs; run engines for AMD GPUs with executor=local")
        return found + setting_problems(config, self.engine, (NONE, ACCURACY, ALL), shared=max(cluster.slots) > 1)

    def run(self, tasks: Sequence[Task], receive: Receive) -> None:
        ray, waiting, losses = self._cluster.ray, longest_first(tasks), Counter[str]()
        looked_s = time.monotonic()
        try:
            while waiting or self._running:
                while found := self._next(waiting):
                    task, node = found
                    waiting.remove(task)
                    self._start(task, node)
                if waiting and time.monotonic() > looked_s + LOOK_AGAIN_S:
                    self._look_again()
                    looked_s = time.monotonic()
                if not self._running:
                    if not self._nodes:
                        raise HarnessError(f"no node is left to run {waiting[0].name}; start one and run this again")
                    time.sleep(LOOK_AGAIN_S)
                    continue
                references = {one.waiting_for: one for one in self._running}
                ready, _ = ray.wait(list(references), num_returns=1, timeout=LOOK_AGAIN_S)
                for one in map(references.get, ready):
                    if one and self._read(one, receive):
                        losses[one.task.name] += 1
                        if losses[one.task.name] > LOSSES:
                            raise HarnessError(f"{one.task.name} lost {LOSSES} nodes; see why they end (`ray status`)")
                        waiting.insert(0, one.task)
        finally:
            self._stop(receive)

    @property
    def _nodes(self) -> list[RayNode]:
        return [node for node in self._cluster.nodes if node.id not in self._lost]

    def _next(self, waiting: Sequence[Task]) -> tuple[Task, RayNode] | None:
        nodes = self._nodes
        running = [[one.task for one in self._running if one.node.id == node.id] for node in nodes]
        slots = [node.gpus if self._cluster.on_gpus else 0 for node in nodes]
        free = [gpus - sum(task.needs.gpus for task in own) for gpus, own in zip(slots, running, strict=True)]
        limits = replace(self.limits, nodes=tuple(slots), parallel=self.parallel)
        found = next_place(waiting, running, self._ended, free, limits) if nodes else None
        return (found[0], nodes[found[1]]) if found else None

    def _start(self, task: Task, node: RayNode) -> None:
        config, slots = self.config, max(1, node.gpus if self._cluster.on_gpus else 1)
        cpus = config.cpus if config.cpus is not None else node.cpus // slots * max(1, task.needs.gpus)
        order = Order(
            entry=task.entry,
            description=task.describe(),
            log=str(task.log),
            folder=os.getcwd(),
            variables={name: os.environ[name] for name in TRAVEL if name in os.environ},
            node=node.id,
            slots=slots,
        )
        options = {"num_cpus": cpus, "num_gpus": task.needs.gpus, "resources": self._resources, "max_restarts": 0}
        with held():
            actor = ray_nodes.on_node(self._cluster.ray, node, SessionActor, **options).remote(order)
            one = _Running(task, node, Place(node.host), actor, actor.start.remote())
            self._running.append(one)

    def _read(self, one: _Running, receive: Receive) -> bool:
        """Pass on what came of a session; return whether its node was lost."""
        ray = self._cluster.ray
        with held():  # what the actor has given away is nowhere else
            try:
                found = ray.get(one.waiting_for)
            except ray.exceptions.RayError as error:
                return self._gone(one, error, receive)
            if isinstance(found, Place):
                one.place, found = found, [Started()]
            if not (found and isinstance(found[-1], Ending)):
                one.waiting_for = one.actor.events.remote()
            for event in found:
                if isinstance(event, Ending):
                    self._end(one, _died(event, one.node), receive)
                else:
                    receive(one.task, one.place, event)
        return False

    def _gone(self, one: _Running, error: Exception, receive: Receive) -> bool:
        living = {node.id for node in ray_nodes.living(self._cluster.ray)}
        lost = one.node.id not in living or "node" in type(error).__name__.lower() or "node died" in str(error).lower()
        if lost:
            self._lost.add(one.node.id)
            self._running.remove(one)
            receive(one.task, one.place, Said(f"node {one.node.label} was lost; {one.task.name} goes on elsewhere"))
        else:
            self._end(one, f"its process on {one.node.label} ended: {ray_nodes.last_line(error)}", receive)
        return lost

    def _end(self, one: _Running, error: str | None, receive: Receive) -> None:
        with held():
            self._running.remove(one)
            self._ended.add(one.task.name)
            self._cluster.ray.kill(one.actor)
        receive(one.task, one.place, Ended(error))

    def _look_again(self) -> None:
        """Use nodes that have joined since, where they are of the same kind and lack nothing."""
        cluster = self._cluster
        new = [node for node in self._usable(cluster.ray)[0] if node.id not in cluster.looks]
        if not new:
            return
        looks = ray_nodes.look_at(cluster.ray, new, self._folders, self._asks_hub)
        cluster.looks.update(looks)
        planned = next(look.node for look in cluster.looks.values() if isinstance(look, Look))
        fit = [node for node in new if isinstance(look := looks.get(node.id), Look) and look.node.kind == planned.kind]
        self.__dict__["_cluster"] = replace(cluster, nodes=(*cluster.nodes, *fit))

    def _stop(self, receive: Receive) -> None:
        """Interrupt what runs, store what it had measured, and wait until its engines have stopped."""
        if not self._running:
            return
        ray = self._cluster.ray
        with held():
            asked = {one.actor.stop.remote(): one for one in self._running}
            deadline = time.monotonic() + 2 * ENDING_S
            while asked and time.monotonic() < deadline:
                for reference in ray.wait(list(asked), num_returns=1, timeout=1.0)[0]:
                    one = asked.pop(reference)
                    with contextlib.suppress(HarnessError, ray.exceptions.RayError):
                        rest = [*_unread(ray, one), *ray.get(reference)]
                        for event in rest:
                            if not isinstance(event, Ending):
                                receive(one.task, one.place, event)
                    with contextlib.suppress(HarnessError):
                        self._end(one, None, receive)
            for one in list(self._running):
                self._end(one, "it did not stop in time", receive)


def _unread(ray: ModuleType, one: _Running) -> list[Any]:
    """Return the events that were asked for before the stop, which the actor answered first."""
    found = ray.get(one.waiting_for, timeout=1.0)
    return [] if isinstance(found, Place) else found


def _died(ending: Ending, node: RayNode) -> str | None:
    error = death(ending.code, f"on {node.label} ")
    return f"{error} ({ending.said})" if error and ending.said else error
