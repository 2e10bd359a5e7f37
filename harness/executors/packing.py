"""Which sessions run at once, and when: longest estimate first, on whatever GPUs are free. Pure.

The executor asks `next_task` whenever a session starts or ends; `schedule` asks it with estimated times, so that the
plan is what will happen if the estimates are right. Longest first (LPT) takes at most 4/3 - 1/(3 m) of the shortest
possible time on m machines (R. L. Graham, Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 17, 1969).
"""

import heapq
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from harness.executors import ACCURACY, ALL, Limits, Task


@dataclass(frozen=True)
class Placed:
    """A task in a schedule, on the GPUs with these numbers."""

    task: Task
    start_s: float
    end_s: float
    gpus: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    placed: tuple[Placed, ...]  # in the order of their starts

    @property
    def makespan_s(self) -> float:
        return max((one.end_s for one in self.placed), default=0.0)

    @property
    def gpus_used(self) -> int:
        return len({gpu for one in self.placed for gpu in one.gpus})


def may_share(one: Task, other: Task, colocate: str) -> bool:
    """Whether two tasks may run on one node at the same time."""
    timed = one.needs.times + other.needs.times
    return timed == 0 or colocate == ALL or (timed == 1 and colocate == ACCURACY)


def longest_first(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks with the longest first; equal ones stay in order."""
    return sorted(tasks, key=lambda task: -task.estimate_s)


def next_task(
    waiting: Sequence[Task], running: Sequence[Task], ended: Collection[str], free_gpus: int, limits: Limits
) -> Task | None:
    """Return the first of `waiting` that can start now; `ended` holds the names of tasks that are over."""
    if len(running) >= limits.parallel:
        return None
    for task in waiting:
        ready = all(name in ended for name in task.after)
        fits = task.needs.gpus <= free_gpus and _enough_cores([task, *running], limits.cores)
        if ready and fits and all(may_share(task, other, limits.colocate) for other in running):
            return task
    return None


def _enough_cores(tasks: Sequence[Task], cores: int) -> bool:
    """Whether every task has its cores; nobody waits for a core where no task measures time, or only one runs."""
    timed = len(tasks) > 1 and any(task.needs.times for task in tasks)
    return not (cores and timed) or sum(task.needs.cores for task in tasks) <= cores


def of_each_node(limits: Limits) -> list[Limits]:
    """Return the limits of each machine."""
    return [replace(limits, gpus=gpus, parallel=max(1, gpus), nodes=()) for gpus in limits.nodes] or [limits]


def next_place(
    waiting: Sequence[Task],
    running: Sequence[Sequence[Task]],
    ended: Collection[str],
    free_gpus: Sequence[int],
    limits: Limits,
) -> tuple[Task, int] | None:
    """Return the first task that can start now, and the number of its machine: the one with the most free GPUs.

    `running`, `free_gpus`: of each machine.
    """
    if sum(map(len, running)) >= limits.parallel:
        return None
    nodes = of_each_node(limits)
    for number in sorted(range(len(nodes)), key=lambda number: (-free_gpus[number], len(running[number]))):
        if task := next_task(waiting, running[number], ended, free_gpus[number], nodes[number]):
            return task, number
    return None


def schedule(tasks: Sequence[Task], limits: Limits) -> Schedule:
    """Return when each task runs if it takes as long as estimated. Raises ValueError for one that never can."""
    waiting, ended, placed, now = longest_first(tasks), set[str](), list[Placed](), 0.0
    free, running = _numbered(of_each_node(limits)), [list[Placed]() for _ in of_each_node(limits)]
    while waiting or any(running):
        tasks_of = [[one.task for one in own] for own in running]
        if found := next_place(waiting, tasks_of, ended, list(map(len, free)), limits):
            task, number = found
            waiting.remove(task)
            taken = tuple(heapq.nsmallest(task.needs.gpus, free[number]))
            free[number] = [gpu for gpu in free[number] if gpu not in taken]
            placed.append(Placed(task, now, now + task.estimate_s, taken))
            running[number].append(placed[-1])
            continue
        if not any(running):
            raise ValueError(f"{waiting[0].name} cannot run on {limits.gpus} GPUs")
        now = min(one.end_s for own in running for one in own)
        for number, own in enumerate(running):
            for over in [one for one in own if one.end_s <= now]:
                own.remove(over)
                ended.add(over.task.name)
                free[number] += over.gpus
    return Schedule(tuple(placed))


def _numbered(nodes: Sequence[Limits]) -> list[list[int]]:
    """Return the GPUs of each machine, numbered through."""
    firsts = itertools.accumulate((node.gpus for node in nodes), initial=0)
    return [list(range(first, first + node.gpus)) for first, node in zip(firsts, nodes, strict=False)]
