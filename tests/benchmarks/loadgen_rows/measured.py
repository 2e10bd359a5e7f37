"""python measured.py RESULT TIMEOUT_S SAMPLE_MEMORY COMMAND...

Runs COMMAND and writes what its whole process tree used, as JSON: user and system CPU of every process that was
waited for (getrusage, RUSAGE_CHILDREN; as child subreaper we also wait for those whose parents did not), and where
asked the peak resident set of each process and the peak of their sum, looked at 20 times a second. The tree is ended
when the time is up, when our standard input closes, and when COMMAND has ended and left something behind.
"""

import ctypes
import json
import os
import resource
import select
import subprocess
import sys
import time
from pathlib import Path

from harness.engines.watchdog import PR_SET_CHILD_SUBREAPER, descendants, restore_signals, stop

GRACE_S = 3.0
LOOK_S = 0.05


def main() -> int:
    result, timeout_s, sample_memory, command = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1", sys.argv[4:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=restore_signals)
    peaks, tree_peak, why = {}, 0, None
    while child.poll() is None and why is None:
        readable, _, _ = select.select([0], [], [], LOOK_S)
        if readable and not os.read(0, 1024):
            why = "the benchmark ended"
        elif time.monotonic() - began > timeout_s:
            why = f"not done within {timeout_s:.0f} s"
        if sample_memory:
            now = {pid: resident_bytes(pid) for pid in descendants(os.getpid())}
            peaks = now | {pid: max(peak, now.get(pid, 0)) for pid, peak in peaks.items()}
            tree_peak = max(tree_peak, sum(now.values()))
    wall_s = time.monotonic() - began
    stop(child, GRACE_S)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {"exit_code": child.poll(), "ended": why, "wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime}
    others = [peak for pid, peak in peaks.items() if pid != child.pid]
    result.write_text(json.dumps(found | {"peak_bytes": tree_peak, "children_peak_bytes": sum(others)}))
    return 0


def resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
