"""Whose the processes on a GPU are, and what preflight says of other people's.

NVML lists pids. In a container an old driver gives those of the host, which mean nothing here, and a process of another
container may not be listed at all: then only the memory that is taken tells of it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.machine.devices import VARIABLE, Device
from harness.machine.gpu_readings import GpuProcess

UNLISTED_BYTES = 1 << 30  # more memory than this without a process is somebody's; the driver itself takes less
ELSEWHERE = f"choose other GPUs with {VARIABLE}"


def name_of(pid: int) -> str | None:
    """None: there is no such process here."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def named_process(process: GpuProcess) -> GpuProcess:
    return {**process, "name": name_of(process["pid"])}


def descends(pid: int, ancestor: int) -> bool:
    """By parent links: what a server starts stays below its watchdog, and that below the harness."""
    for _ in range(1000):
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            return False
        if pid <= 0:
            break
    return False


def lines(
    device: Device, found: list[GpuProcess] | None, used_bytes: int | None, total_bytes: int | None
) -> Iterator[str]:
    """What preflight says: before an engine starts, everyone on its GPUs is a stranger.

    `found`: {pid, bytes, name}, a name that is None for a process that cannot be seen from here.
    """
    for process in found or ():
        holds = "is on it" if process["bytes"] is None else f"holds {process['bytes'] / 1e9:.1f} GB"
        if process["name"] is None:
            yield (
                f"{device.title}: a process {holds} that cannot be seen from here (pid {process['pid']}, of another "
                f"container or of the host); have it stopped there, or {ELSEWHERE}"
            )
        else:
            yield f"{device.title}: process {process['pid']} ({process['name']}) {holds}; stop it, or {ELSEWHERE}"
    if not found and used_bytes is not None and total_bytes and used_bytes > UNLISTED_BYTES:
        why = "the driver does not list processes here" if found is None else "the driver lists no process"
        yield (
            f"{device.title}: {used_bytes / 1e9:.1f} of {total_bytes / 1e9:.1f} GB are taken and {why}: it is another "
            f"container's or user's, or of one that crashed; look with nvidia-smi on the host, or {ELSEWHERE}"
        )


def strangers(at_start: Iterable[GpuProcess], seen: Iterable[GpuProcess]) -> list[GpuProcess]:
    """Return the processes {pid, bytes, name, own} `seen` on the GPUs that are not the server's.

    `own`: below the harness in the process tree. Where the server's own pids are recognised when it has become ready
    (`at_start`), the rest is foreign. Where none is, the pids are the host's: what was there then is taken for the
    server's, since preflight found the GPUs empty, and who came later is foreign.
    """
    at_start, seen = list(at_start), list(seen)
    known = set() if any(process["own"] for process in at_start) else {process["pid"] for process in at_start}
    found = {p["pid"]: p for p in seen if not p["own"] and p["pid"] not in known}
    return list(found.values())
