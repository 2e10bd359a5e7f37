"""Runs a command and outlives the harness just long enough to clean up after it.

    python watchdog.py GRACE_S COMMAND...

The harness holds the other end of our standard input. When it closes, because the harness is done or because it was
killed with SIGKILL, the command's whole tree gets SIGTERM and, GRACE_S seconds later, SIGKILL. As child subreaper
(prctl 36) we also inherit what the command leaves behind. When we are killed ourselves, the kernel sends the command
SIGTERM, and the harness stops what is left of its tree; where that was killed as well, its next start does, which
finds the command in the record that we write (leftovers.py).

What the command prints passes through here, so that no secret reaches its log, and no escape sequence, which whoever
reads the log in a terminal would obey: colours are left out, other control characters are made visible. The harness
sends one line of JSON on our standard input before anything else: `secrets`, the values that it knows; `record`, the
file for the record; and `facts`, which the record repeats. Standard output is left alone where it is not the log.
Standard library only: it starts in milliseconds.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LONGEST_LINE = 1 << 20
DRAIN_S = 5.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CARRIAGE_RETURN = re.compile(r"\r\n?")  # of progress bars


def started_at(pid: int) -> int | None:
    """Clock ticks from the machine's start to the process's: with the pid it names one process. None: it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if state in (b"Z", b"X") else int(fields[18])


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


def read_line(descriptor: int) -> bytes:
    """Byte by byte: what follows is for select()."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(descriptor, 1)):
        line += byte
    return line


def load(path: str) -> ModuleType:
    """Load a module of the harness that needs no other one. The package itself is slow to import."""
    file = Path(__file__).parents[1] / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def masker(secrets: list[str]) -> Callable[[str], str]:
    """Return `mask` of harness/redaction/masking.py, which knows `secrets`."""
    masking = load("redaction/masking.py")
    masking.learn_encoded(secrets)
    return masking.mask


def cleaner(mask: Callable[[str], str]) -> Callable[[str], str]:
    """Return what makes the command's output safe to keep and to show."""
    visible = load("untrusted/visible.py").visible
    return lambda text: visible(CARRIAGE_RETURN.sub("\n", COLOUR.sub("", mask(text))))


def copy_cleaned(source: int, into: int, clean: Callable[[str], str]) -> None:
    """Whole lines, until `source` ends. A log that cannot be written is dropped: the command must not wait for us."""
    rest = b""
    while chunk := os.read(source, 1 << 16):
        rest += chunk
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
        if not end and len(rest) < LONGEST_LINE:
            continue
        write(into, clean((rest[:end] if end else rest).decode("utf-8", "surrogateescape")))
        rest = rest[end:] if end else b""
    write(into, clean(rest.decode("utf-8", "surrogateescape")))


def write(into: int, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(into, data) :]
    except OSError:
        pass


def main() -> int:
    grace_s, command = float(sys.argv[1]), sys.argv[2:]
    setup = json.loads(read_line(0) or "{}")
    mask = masker(setup.get("secrets", []))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the harness decides, through the pipe
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    source, sink = os.pipe()
    output = sink if os.path.samestat(os.fstat(1), os.fstat(2)) else None  # None: it is not the log
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=sink, start_new_session=True,
            preexec_fn=lambda: prepare_child(libc),
        )  # fmt: skip
    finally:
        os.close(sink)
    record = setup.get("record")
    if record:
        write_record(record, {**setup["facts"], "command": mask(" ".join(command)), **identity("", child.pid)})
    log = threading.Thread(target=copy_cleaned, args=(source, 2, cleaner(mask)), daemon=True)
    log.start()
    try:
        return watch(child, grace_s)
    finally:
        log.join(DRAIN_S)
        if record:
            remove_record(record)


def watch(child: subprocess.Popen, grace_s: float) -> int:
    while child.poll() is None:
        readable, _, _ = select.select([0], [], [], 0.2)
        if readable and not os.read(0, 1024):
            stop(child, grace_s)
            return 0
    code = child.returncode
    stop(child, 2.0)  # workers that survived their parent
    return code if code >= 0 else 128 - code


def identity(prefix: str, pid: int) -> dict[str, int | None]:
    return {f"{prefix}pid": pid, f"{prefix}started": started_at(pid)}


def write_record(path: str, facts: dict[str, object]) -> None:
    """A disk without space for it is no reason not to start."""
    try:
        with open(f"{path}.new", "w") as file:
            json.dump({**facts, **identity("watchdog_", os.getpid())}, file)
        os.replace(f"{path}.new", path)
    except OSError:
        remove_record(f"{path}.new")


def remove_record(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def prepare_child(libc: ctypes.CDLL) -> None:
    """Between fork and exec: signals as they are by default, and SIGTERM from the kernel when we die."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    restore_signals()


def restore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
