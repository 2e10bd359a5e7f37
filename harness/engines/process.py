"""A server in a separate process: started, watched, and never left behind (see watchdog.py)."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.engines import leftovers
from harness.errors import EngineError
from harness.machine import disk, pipes, scratch
from harness.machine.interrupts import held
from harness.machine.pipes import piped
from harness.protocol.urls import no_proxy_for_loopback
from harness.redaction.masking import excerpt, known_values, mask

WATCHDOG = Path(__file__).with_name("watchdog.py")
TAIL_LINES = 15


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def own_port(fixed: int | None = None) -> Iterator[int]:
    """`fixed`, else a free port that no other session here is given while the context lasts.

    A server listens on its port only some time after it was chosen. A name in Linux's abstract namespace marks it; the
    kernel removes that with the process.
    """
    if fixed is not None:
        yield fixed
        return
    while True:
        port = free_port()
        with socket.socket(socket.AF_UNIX) as mark:
            try:
                mark.bind(f"\0harness-port-{port}")
            except OSError:
                continue  # another session's
            yield port
            return


def port_in_use(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def log_tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines that are not blank, and up to three lines before them that name an error. Masked."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "(no log)"
    useful = [line for line in text.splitlines() if line.strip()]
    tail = useful[-lines:]
    causes = [line for line in useful[:-lines] if "Error" in line[:240] and "Traceback" not in line[:240]][-3:]
    return "\n".join(f"    | {excerpt(line.rstrip(), 240)}" for line in [*causes, *tail])


def raise_disk_full(log: Path) -> None:
    """Raise DiskFull where the last command in `log` ended for want of space; the file that it names says where."""
    try:
        said = log.read_text(errors="replace").rpartition("\n$ ")[2]
    except OSError:
        return
    for line in reversed(said.splitlines()):
        if found := disk.SAID.search(line):
            file = re.search(r"['\"](/[^'\"]+)['\"]", line)
            named = Path(file[1]).parent if file else disk.fullest(log.parent, scratch.root())
            raise disk.full(named, f"{found[0]}; the whole log: {log}")


class ServerProcess:
    """`command` running under the watchdog, its output appended to `log` without secrets; with `talks`, standard output
    is for us."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path, grace_s: float, talks: bool = False):
        self.log, self.grace_s, self._mark = log, grace_s, uuid.uuid4().hex
        with held(), disk.naming(log.parent):
            self._start(command, env, talks)

    def _start(self, command: list[str], env: dict[str, str], talks: bool) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        marked = {leftovers.MARK: self._mark}
        with self.log.open("ab") as output:
            output.write(mask(f"\n$ {' '.join(command)}\n").encode())
            output.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHDOG), str(self.grace_s), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                env={**os.environ, **no_proxy_for_loopback(os.environ), **env, **marked},  # engines ask themselves, too
                start_new_session=True,  # Ctrl-C is ours to handle, not the engine's
            )
        with contextlib.suppress(OSError):  # it died at once: exit_code() tells
            setup = {"secrets": known_values(), **leftovers.record_of(self.log, self._mark)}
            stdin = piped(self._process.stdin)
            stdin.write(json.dumps(setup).encode() + b"\n")
            stdin.flush()

    def exit_code(self) -> int | None:
        return self._process.poll()

    def wait(self) -> int:
        """Until it ends of itself; its exit code."""
        return self._process.wait()

    def lines(self, timeout_s: float) -> Iterator[bytes]:
        """Whole lines of standard output until it ends. Raises TimeoutError when none comes for so long."""
        rest, stdout = b"", piped(self._process.stdout)
        while True:
            if not select.select([stdout], [], [], timeout_s)[0]:
                raise TimeoutError
            if not (read := os.read(stdout.fileno(), 1 << 16)):
                return
            *whole, rest = (rest + read).split(b"\n")
            yield from whole

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Seconds until `ready`; EngineError with the end of the log when it dies first or is too slow."""
        start = time.monotonic()
        while time.monotonic() - start < timeout_s:
            if (code := self.exit_code()) is not None:
                raise_disk_full(self.log)
                raise EngineError(
                    f"{what} died at start with exit code {code}; the end of its log:\n{log_tail(self.log)}\n"
                    f"  the whole log: {self.log}"
                )
            if ready():
                return time.monotonic() - start
            time.sleep(0.25)
        raise EngineError(
            f"{what} was not ready after {timeout_s:.0f} s (engine.startup_timeout_s); the end of its log:\n"
            f"{log_tail(self.log)}\n  the whole log: {self.log}"
        )

    def stop(self) -> None:
        """Close the pipe: SIGTERM, then SIGKILL after the grace period. Returns when nothing is left.

        Does the work of a watchdog that was killed or does not answer.
        """
        with held():
            self._stop()

    def _stop(self) -> None:
        pipes.close(self._process.stdin)
        pipes.close(self._process.stdout)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)  # somebody may have stopped it
        try:
            code = self._process.wait(self.grace_s + 15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code < 0:
            leftovers.stop_marked(self.log, self._mark, self.grace_s)
