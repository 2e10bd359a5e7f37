"""CPU cores for sessions that run side by side: a share each, within a NUMA node where there are several."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

NODES = Path("/sys/devices/system/node")
LEAST = 2  # cores of a session; with fewer the kernel shares out better than a fixed assignment


def shares(nodes: Sequence[Sequence[int]], slots: int) -> list[tuple[int, ...]]:
    """Return the cores of each slot: disjoint, of equal number, and of one node as far as they fit.

    `nodes`: the cores of each NUMA node. Empty shares where there are fewer than `LEAST` cores for each.
    """
    count = sum(map(len, nodes)) // slots if slots else 0
    if count < LEAST:
        return [()] * slots
    whole, rest = list[tuple[int, ...]](), list[int]()
    for node in nodes:
        fitting = len(node) // count
        whole += [tuple(node[n * count : (n + 1) * count]) for n in range(fitting)]
        rest += node[fitting * count :]
    whole += [tuple(rest[n * count : (n + 1) * count]) for n in range(len(rest) // count)]
    return whole[:slots]


def apart(cores: Sequence[int], workers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return (the client's cores, the engine's): one for each client process and one more, at most half of them."""
    if len(cores) < 2 * LEAST:
        return tuple(cores), tuple(cores)
    client = min(workers + 1, len(cores) // 2)
    return tuple(cores[:client]), tuple(cores[client:])


def nodes(root: Path = NODES) -> list[list[int]]:
    """The cores that this process may use, by NUMA node; one list where Linux tells of none."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    found = []
    for path in sorted(root.glob("node[0-9]*/cpulist"), key=lambda path: int(path.parent.name[4:])):
        with contextlib.suppress(OSError, ValueError):
            found.append([core for core in parse_list(path.read_text()) if core in allowed])
    found = [node for node in found if node]
    return found if sum(map(len, found)) == len(allowed) else [allowed]


def parse_list(text: str) -> list[int]:
    """Read the kernel's form of a CPU list: ``0-3,8``. Raises ValueError."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise ValueError(f"not a list of CPUs: {text!r}")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return found


@contextlib.contextmanager
def bound(cores: Sequence[int]) -> Iterator[None]:
    """Bind this thread, and what it starts meanwhile, to `cores`; empty: to no others than now."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
