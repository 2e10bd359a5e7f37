"""Runs a command to its end or to a limit: wall clock, silence, memory and processes of its whole tree, output.

Limits of single processes (CPU, file size, ...) are set inside the sandbox; this watch is outside, where what it
watches cannot reach it.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """cpu, address space and file size hold for each process, by the kernel; the rest for the whole tree."""

    wall_s: float = 60.0
    silence_s: float | None = None  # without a byte of output
    cpu_s: int = 3600
    memory_bytes: int = 4 << 30  # of a process, address space (evalplus's own limit)
    total_memory_bytes: int = 4 << 30  # of the tree, resident
    file_bytes: int = 64 << 20
    tmp_bytes: int = 128 << 20  # of /tmp, and of /dev/shm
    processes: int = 64
    output_bytes: int = 16 << 20


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Launch:
    """`inner_pid`: a process of this host that holds the command, where it is no child of `line`; 0 while unknown.

    `end` takes away what killing `line` leaves.
    """

    line: list[str]
    environment: dict[str, str]
    inner_pid: Callable[[], int] | None = None
    end: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Finished:
    """`ended`: exit (of itself), or what it was killed for: wall, silence, output, memory, processes, cancelled."""

    returncode: int
    ended: str
    stdout: bytes
    stderr: bytes
    wall_s: float


def run_bounded(
    launch: Launch, limits: Limits, cwd: Path | None = None, cancelled: Callable[[], bool] = lambda: False
) -> Finished:
    """Run it to its end, to a limit or until `cancelled`; keep the first `output_bytes` of stdout and of stderr."""
    started = heard = time.monotonic()
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    ended, next_look, inner = "exit", 0.0, 0
    process = subprocess.Popen(
        launch.line, env=launch.environment, cwd=cwd,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        with selectors.DefaultSelector() as selector:
            for name in kept:
                selector.register(getattr(process, name), selectors.EVENT_READ, name)
            while selector.get_map():
                for key, _ in selector.select(timeout=0.1):
                    if data := os.read(key.fd, 1 << 16):
                        kept[key.data] += data
                        heard = time.monotonic()
                    else:
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if now >= next_look:  # every 0.1 s, or nine tenths of the time where looking is slow
                    if launch.inner_pid is not None and not inner:
                        inner = launch.inner_pid()
                    over = _over([process.pid, inner] if inner else [process.pid], limits)
                    next_look = time.monotonic() + max(0.1, (time.monotonic() - now) / 9)
                if over is None and max(map(len, kept.values())) > limits.output_bytes:
                    over = "output"
                if over is None and cancelled():
                    over = "cancelled"
                if over is None and limits.silence_s is not None and now - heard > limits.silence_s:
                    over = "silence"
                if over is None and now - started > limits.wall_s:
                    over = "wall"
                if over is not None:
                    ended = over
                    break
                if process.poll() is not None and not selector.select(timeout=0):
                    break  # its last output was read; what else holds the pipe is killed below
    finally:
        try:
            launch.end()
        finally:
            _kill_tree(process)
        for pipe in filter(None, (process.stdout, process.stderr)):
            pipe.close()
    out, err = (bytes(kept[name][: limits.output_bytes]) for name in ("stdout", "stderr"))
    return Finished(process.returncode, ended, out, err, time.monotonic() - started)


def _over(roots: list[int], limits: Limits) -> str | None:
    tree = [pid for root in roots for pid in _tree(root)]
    if len(tree) > limits.processes + 8:  # the sandbox's own processes; a kernel that counts stops it before
        return "processes"
    memory = 0
    for member in tree:
        with contextlib.suppress(OSError, IndexError, ValueError):
            memory += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return "memory" if memory > limits.total_memory_bytes else None


def _tree(pid: int) -> list[int]:
    """The process and its descendants, itself first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))):
            children.setdefault(int(stat[1]), []).append(int(entry))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def _stat(pid: int) -> list[bytes]:
    """Fields of /proc/PID/stat after the name: state, parent, ...; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def _kill_tree(process: subprocess.Popen) -> None:
    """Returns when everything is gone: the sandbox's first process takes its whole process table with it."""
    deadline = time.monotonic() + 10.0
    known: dict[int, bytes] = {}  # started_at by pid, against reused numbers
    while time.monotonic() < deadline:
        for pid in _tree(process.pid)[::-1] if process.poll() is None else []:
            if stat := _stat(pid):
                known[pid] = stat[19]
        alive = [pid for pid, start in known.items() if (stat := _stat(pid)) and stat[19] == start and stat[0] != b"Z"]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if process.poll() is not None and not alive:
            break
        time.sleep(0.01)
    process.wait()
