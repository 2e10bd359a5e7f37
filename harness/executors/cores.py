"""CPU cores for sessions that run side by side: a share each, within a NUMA node where there are several."""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

NODES, DEVICES = Path("/sys/devices/system/node"), Path("/sys/bus/pci/devices")
LEAST = 2  # cores of a session; with fewer the kernel shares out better than a fixed assignment


def shares(
    nodes: Mapping[int, Sequence[int]], slots: int, homes: Sequence[int | None] = (), least: int = LEAST
) -> list[tuple[int, ...]]:
    """Return the cores of each slot: disjoint, of equal number, and of one node as far as they fit.

    `nodes`: the cores of each NUMA node; `homes`: the node of each slot's GPU, whose cores it gets where all are known.
    Empty shares where there are fewer than `least` cores for each.
    """
    if slots and len(homes) == slots and all(home in nodes for home in homes):
        return _at_home(nodes, [home for home in homes if home is not None], least)
    return _spread(list(nodes.values()), slots, least)


def _at_home(nodes: Mapping[int, Sequence[int]], homes: Sequence[int], least: int) -> list[tuple[int, ...]]:
    count = min(len(nodes[home]) // homes.count(home) for home in homes)
    if count < least:
        return [()] * len(homes)
    rest = {home: iter(nodes[home]) for home in homes}
    return [tuple(itertools.islice(rest[home], count)) for home in homes]


def _spread(nodes: Sequence[Sequence[int]], slots: int, least: int) -> list[tuple[int, ...]]:
    count = sum(map(len, nodes)) // slots if slots else 0
    if count < least:
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


def nodes(root: Path = NODES) -> dict[int, list[int]]:
    """The cores that this process may use, by NUMA node; one node where Linux tells of none."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    found: dict[int, list[int]] = {}
    for number, path in sorted((int(path.parent.name[4:]), path) for path in root.glob("node[0-9]*/cpulist")):
        with contextlib.suppress(OSError, ValueError):
            found[number] = [core for core in parse_list(path.read_text()) if core in allowed]
    found = {number: cores for number, cores in found.items() if cores}
    return found if sum(map(len, found.values())) == len(allowed) else {0: allowed}


def node_of(pci_bus_id: str | None, root: Path = DEVICES) -> int | None:
    """The NUMA node of a PCI device, by NVML's bus id (``00000000:3B:00.0``); None where Linux does not tell."""
    if pci_bus_id is None:
        return None
    domain, _, address = pci_bus_id.lower().partition(":")
    try:
        found = int((root / f"{domain[-4:]}:{address}" / "numa_node").read_text())
    except (OSError, ValueError):
        return None
    return found if found >= 0 else None  # -1: the machine has one node


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
