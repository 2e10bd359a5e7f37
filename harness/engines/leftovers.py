"""Processes that outlived the harness and the watchdog that should have stopped them.

The watchdog records every command that it runs in `LOG_FOLDER/.running-MARK.json`: its pid, when it started, and the
same of the harness. MARK is random, and in the command's environment, which its children inherit. A pid alone names
nobody, since numbers are used again, and a record may be forged or come from another machine. So a process is ours only
when it runs in the machine's and the container's current boot, started when the record says, belongs to our user and
has the mark in its environment.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from harness.engines.watchdog import descendants, identity, started_at

MARK = "HARNESS_PROCESS"
RECORDS = ".running-*.json"
WATCHDOG_S = 3.0  # that a watchdog whose harness has died gets to end by itself
GRACE_S = 10.0


class Process(NamedTuple):
    """A process of one boot: `started` in clock ticks, as watchdog.started_at says it."""

    pid: int
    started: int

    @property
    def runs(self) -> bool:
        return started_at(self.pid) == self.started


@dataclass(frozen=True)
class RunRecord:
    """What the watchdog's file says. Processes that had ended when it was written are None."""

    mark: str
    log: str
    where: dict[str, str]
    command: str
    child: Process | None
    harness: Process | None
    watchdog: Process | None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError; ValueError, KeyError, TypeError or RecursionError for what no watchdog wrote."""
        facts = json.loads(path.read_text())
        processes = (_process(facts, prefix) for prefix in ("", "harness_", "watchdog_"))
        return cls(facts["mark"], str(facts["log"]), facts["where"], str(facts["command"]), *processes)


@dataclass(frozen=True)
class Leftover:
    """`marked`: it carries the mark and may be stopped; without it (some programs overwrite their environment) it is
    only named."""

    record: Path
    mark: str
    pid: int
    command: str
    log: str
    marked: bool = True

    @property
    def words(self) -> str:
        return f"process {self.pid} ({self.command[:120]}), started by a run that was killed; its log: {self.log}"


def record_of(log: Path, mark: str) -> Mapping[str, object]:
    """What the watchdog is told of its record."""
    facts = {"mark": mark, "log": str(log), "where": where(), **identity("harness_", os.getpid())}
    return {"record": str(_record(log, mark)), "facts": facts}


def where() -> dict[str, str]:
    """This boot of this machine, and the table of processes that our pids are of."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": os.uname().nodename,
        "boot": boot.read_text().strip() if boot.is_file() else "",
        "pids": os.readlink("/proc/self/ns/pid") if os.path.islink("/proc/self/ns/pid") else "",
    }


def find(results_dir: Path) -> list[Leftover]:
    """The verified leftovers of every sweep below `results_dir`. Records of processes that have ended are removed."""
    found: list[Leftover] = []
    for path in sorted(results_dir.glob(f"*/logs/{RECORDS}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # not ours
            found += _verified(path, RunRecord.read(path))
    return found


def _verified(path: Path, found: RunRecord) -> list[Leftover]:
    here = where()
    if found.where != here:
        if found.where["host"] == here["host"] and found.where["pids"] == here["pids"]:  # an earlier boot
            path.unlink()
        return []
    if found.harness and found.harness.runs:
        return []
    deadline = time.monotonic() + WATCHDOG_S
    while found.watchdog and found.watchdog.runs and time.monotonic() < deadline:
        time.sleep(0.1)
    marked = _marked(found.mark)
    pid = found.child.pid if found.child and found.child.runs else min(marked, default=None)
    if pid is None:
        path.unlink(missing_ok=True)
        return []
    return [Leftover(path, found.mark, pid, found.command, found.log, pid in marked)]


def stop(leftover: Leftover, grace_s: float = GRACE_S) -> None:
    """Stop the process, its descendants and its watchdog, and remove the record."""
    _stop(leftover.mark, grace_s)
    leftover.record.unlink(missing_ok=True)


def stop_marked(log: Path, mark: str, grace_s: float) -> None:
    """Stop what the watchdog left that had `mark`, while the harness that started it runs."""
    record, pid = _record(log, mark), None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a full disk: the mark remains
        child = RunRecord.read(record).child
        pid = child.pid if child and child.runs else None
    _stop(mark, grace_s, pid)
    record.unlink(missing_ok=True)


def _stop(mark: str, grace_s: float, leader: int | None = None) -> None:
    """SIGTERM, and SIGKILL after `grace_s`. Descendants of a marked process are its own, whatever they carry."""
    known = {leader: started_at(leader)} if leader else {}  # when it started, by pid
    deadline = time.monotonic() + grace_s
    number = signal.SIGTERM
    told: set[int] = set()
    while True:
        for pid in _tree(_marked(mark) | {pid for pid, started in known.items() if started_at(pid) == started}):
            if pid not in known and (started := started_at(pid)) is not None:
                known[pid] = started
        alive = [pid for pid, started in known.items() if started is not None and started_at(pid) == started]
        if not alive:
            return
        if time.monotonic() > deadline:
            if number == signal.SIGKILL and time.monotonic() > deadline + GRACE_S:
                return  # in the kernel, where no signal ends it
            number, told = signal.SIGKILL, set()
        for pid in alive:
            if pid not in told:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
                    os.kill(pid, signal.SIGCONT)
                told.add(pid)
        time.sleep(0.05)


def _record(log: Path, mark: str) -> Path:
    return log.parent / RECORDS.replace("*", mark)


def _process(facts: Any, prefix: str) -> Process | None:
    pid, started = facts[f"{prefix}pid"], facts[f"{prefix}started"]
    return Process(pid, started) if isinstance(pid, int) and started is not None else None


def _marked(mark: str) -> set[int]:
    """Every process of ours with `mark`, the watchdog included."""
    if not (isinstance(mark, str) and len(mark) == 32 and mark.isalnum()):
        return set()
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _is_marked(int(entry), mark)}


def _is_marked(pid: int, mark: str) -> bool:
    try:
        if pid == os.getpid() or os.stat(f"/proc/{pid}").st_uid != os.getuid():
            return False
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}={mark}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def _tree(pids: Iterable[int]) -> set[int]:
    return {one for pid in pids for one in (pid, *descendants(pid))} - {os.getpid()}
