"""Runs a command and outlives the harness just long enough to clean up after it.

    python watchdog.py GRACE_S COMMAND...

The harness holds the other end of our standard input. When it closes, because the harness is done or because it was
killed with SIGKILL, the command's whole tree gets SIGTERM and, GRACE_S seconds later, SIGKILL. As child subreaper
(prctl 36) we also inherit what the command leaves behind. Standard library only: it starts in milliseconds.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children") as file:
                children = [int(child) for child in file.read().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def signal_all(number: int) -> bool:
    """True if there was anyone to signal."""
    alive = descendants(os.getpid())
    for pid in alive:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    return bool(alive)


def reap() -> None:
    """Collect what was reparented to us."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def stop(child: subprocess.Popen, grace_s: float) -> None:
    child.poll()
    try:
        os.killpg(child.pid, signal.SIGTERM)
    except ProcessLookupError:
        signal_all(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and descendants(os.getpid()):
        child.poll()
        reap()
        time.sleep(0.1)
    while signal_all(signal.SIGKILL):
        reap()
        time.sleep(0.05)


def main() -> int:
    grace_s, command = float(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the harness decides, through the pipe
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=restore_signals)
    while child.poll() is None:
        readable, _, _ = select.select([0], [], [], 0.2)
        if readable and not os.read(0, 1024):
            stop(child, grace_s)
            return 0
    code = child.returncode
    stop(child, 2.0)  # workers that survived their parent
    return code if code >= 0 else 128 - code


def restore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
