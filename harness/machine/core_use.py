"""How much CPU time others took on cores that a session is bound to, from /proc. None where Linux does not tell."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
IDLE_FIELDS = (3, 4)  # of a cpu line: idle, iowait; guest time is in user time
CPU_FIELDS = 8  # user nice system idle iowait irq softirq steal


@dataclass(frozen=True)
class CoreUse:
    """Since the machine started, in clock ticks: busy time of the cores, and what our processes took on any core."""

    at_s: float  # of the monotonic clock
    busy: int
    ours: int

    def others_since(self, before: "CoreUse", cores: int) -> float:
        """Return the share of the cores' time that others took, from 0 to 1."""
        span = (self.at_s - before.at_s) * cores * os.sysconf("SC_CLK_TCK")
        others = (self.busy - before.busy) - (self.ours - before.ours)
        return min(max(others / span, 0.0), 1.0) if span > 0 else 0.0


def core_use(cores: Sequence[int], proc: Path = PROC) -> CoreUse | None:
    """Read the use of these cores. Ours are this process and all that descend from it."""
    try:
        busy = busy_ticks((proc / "stat").read_text(), cores)
        processes = [found for path in proc.glob("[0-9]*/stat") if (found := _process(path))]
    except (OSError, ValueError):
        return None
    return CoreUse(time.monotonic(), busy, _descent(processes, os.getpid()))


def busy_ticks(stat: str, cores: Sequence[int]) -> int:
    """Sum the time of these cores that was not idle, by the text of /proc/stat. Raises ValueError."""
    wanted, total = {f"cpu{core}" for core in cores}, 0
    for line in stat.splitlines():
        name, _, rest = line.partition(" ")
        if name in wanted:
            fields = [int(word) for word in rest.split()[:CPU_FIELDS]]
            total += sum(ticks for position, ticks in enumerate(fields) if position not in IDLE_FIELDS)
    return total


def _process(path: Path) -> tuple[int, int, int] | None:
    """(process, parent, ticks that it and its ended children took), by proc(5); None: it has just ended."""
    try:
        text = path.read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # its name, in parentheses, may hold anything
    return int(text.split(" ", 1)[0]), int(fields[1]), sum(map(int, fields[11:15]))


def _descent(processes: Iterable[tuple[int, int, int]], root: int) -> int:
    children: dict[int, list[int]] = {}
    ticks = dict[int, int]()
    for number, parent, taken in processes:
        children.setdefault(parent, []).append(number)
        ticks[number] = taken
    total, ahead = 0, [root]
    while ahead:
        number = ahead.pop()
        total += ticks.get(number, 0)
        ahead += children.get(number, ())
    return total
