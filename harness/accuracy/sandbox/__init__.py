"""Runs a command that executes model-written code: no network, no secrets, nothing to write to, nothing left behind.

What the command sees is made up from nothing: the system's programs and libraries, this Python and its packages,
the files it was given (all read-only), its own `/tmp` and `/dev/shm` in memory, its own process table, a clean
environment. Home folders, the project, results and the network are not there. bubblewrap makes it; without it
util-linux's unshare; without that a container (KINDS, the first that works).

Inside, `stage.py` gives up every privilege, sets resource limits and refuses system calls that undo the rest.
Outside, a watch (`bounded.py`) kills the whole tree at the wall clock, at too many processes, at too much memory in
all, at too much output, or after too long a silence. RLIMIT_NPROC does not bind the superuser, so a harness that runs
as root drops to an unused user id in the stage.

What remains is the kernel itself: an exploit of one of its faults is not stopped here. A virtual machine does that.
"""

import contextlib
import functools
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.accuracy.sandbox import bubblewrap, container, unshare
from harness.accuracy.sandbox.bounded import DEFAULT_LIMITS, Finished, Launch, Limits, run_bounded
from harness.accuracy.sandbox.request import ENVIRONMENT, Request, visible_paths
from harness.errors import HarnessError
from harness.machine.scratch import scratch

__all__ = ["Finished", "Limits", "Sandbox", "find", "problems"]

KINDS = {"bubblewrap": bubblewrap, "unshare": unshare, "container": container}  # in the order they are tried
_STAGE = Path(__file__).with_name("stage.py")


@dataclass(frozen=True)
class Sandbox:
    """`kind` is one of KINDS, or none; `program` and `options` are what was found to work."""

    kind: str
    program: str = ""  # none: empty
    options: tuple[str, ...] = ()

    def run(
        self,
        command: list[str],
        *,
        files: dict[str, Path] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        work_dir: Path | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Finished:
        """`files` are host files by their absolute path inside; without a sandbox they are found by `inside()`.

        `work_dir` must exist where kind is unshare or none: an empty mount point, or the command's own folder.
        """
        staged = self._staged(command, limits, work_dir)
        if not self.isolates:
            return run_bounded(Launch(staged, ENVIRONMENT), limits, work_dir, cancelled)
        with _readable(files or {}) as readable:
            visible = [(path, path) for path in visible_paths()]
            visible += [(str(host), path) for path, host in readable.items()]
            request = Request(self.program, self.options, staged, visible, limits, work_dir)
            return run_bounded(KINDS[self.kind].launch(request), limits, None, cancelled)

    @property
    def isolates(self) -> bool:
        return self.kind != "none"

    @property
    def label(self) -> str:
        return f"{self.kind} ({Path(self.program).name})" if self.kind == "container" else self.kind

    def inside(self, path: str, files: dict[str, Path]) -> str:
        """Where the command finds a file of `files`."""
        return path if self.isolates else str(files[path])

    def _staged(self, command: list[str], limits: Limits, work_dir: Path | None) -> list[str]:
        environment = dict(ENVIRONMENT)
        if not self.isolates and work_dir is not None:
            environment |= {"HOME": str(work_dir), "TMPDIR": str(work_dir)}
        bounds = {
            "RLIMIT_CPU": limits.cpu_s,
            "RLIMIT_AS": limits.memory_bytes,
            "RLIMIT_FSIZE": limits.file_bytes,
            "RLIMIT_CORE": 0,
            "RLIMIT_NOFILE": 256,
        }
        if self.isolates and _counts_per_namespace():
            bounds["RLIMIT_NPROC"] = limits.processes
        settings = {"isolated": self.isolates, "limits": bounds, "environment": environment}
        return [sys.executable, "-I", "-S", "-c", _STAGE.read_text(), json.dumps(settings), *command]


def find(allow_unsandboxed: bool = False) -> Sandbox:
    """The first way that works here, tried once a process. Raises HarnessError with each one's reason."""
    found, reasons = _find()
    if found is not None:
        return found
    if allow_unsandboxed:
        return Sandbox("none")
    raise HarnessError(
        "no sandbox for model-written code on this machine ("
        + "; ".join(reasons)
        + "): install bubblewrap and allow user namespaces, or podman, or accept the risk with allow_unsandboxed: true"
    )


def problems(allow_unsandboxed: bool = False) -> list[str]:
    """For preflight."""
    try:
        find(allow_unsandboxed)
    except HarnessError as error:
        return [str(error)]
    return []


def candidates() -> Iterator[Sandbox]:
    """Every way whose program is installed, whether it works or not."""
    for kind, module in KINDS.items():
        for name, options in module.PROGRAMS:
            if program := shutil.which(name):
                yield Sandbox(kind, program, options)


@functools.cache
def _find() -> tuple[Sandbox | None, list[str]]:
    reasons: list[str] = []
    for sandbox in candidates():
        if (reason := trial(sandbox)) is None:
            return sandbox, reasons
        reasons.append(f"{' '.join([sandbox.program, *sandbox.options])}: {reason}")
    return None, reasons or ["none of bwrap, unshare, podman, docker is installed"]


# The exit status of a child, and the packages that the user inside cannot read.
_CHECK = """
import os, sys
if not (pid := os.fork()): os._exit(0)
print(os.waitpid(pid, 0)[1])
for folder in filter(os.path.isdir, sys.path):
    entries = [e.path for e in os.scandir(folder) if e.is_dir()] if os.access(folder, os.R_OK | os.X_OK) else [folder]
    print(*[path for path in entries if not os.access(path, os.R_OK | os.X_OK)], sep="\\n", end="")
"""


def trial(sandbox: Sandbox) -> str | None:
    """None when a child process of this Python runs in it and finds its packages; else the reason."""
    limits = Limits(wall_s=20.0)
    with scratch("sandbox") as folder:
        try:
            done = sandbox.run([sys.executable, "-c", _CHECK], limits=limits, work_dir=folder)
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
    status, *hidden = done.stdout.decode(errors="replace").split("\n")
    if done.returncode == 0 and status == "0":
        hidden = [path for path in hidden if path]
        more = f" and {len(hidden) - 1} others" if hidden[1:] else ""
        return _not_readable(hidden[0], more) if hidden else None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1][:400] if said else f"exit code {done.returncode} ({done.ended})"


def _not_readable(path: str, more: str) -> str:
    return (
        f"{path}{more} cannot be read by the user that the command runs as; make the packages readable: "
        f"chmod -R o+rX {sys.prefix}"
    )


@contextlib.contextmanager
def _readable(files: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """`files`, with copies of those that only their owner may read: the command may run as another user."""
    private = [path for path, host in files.items() if not host.stat().st_mode & stat.S_IROTH]
    if not private:
        yield files
        return
    with scratch("sandbox") as folder:
        copies = {path: folder / str(number) for number, path in enumerate(private)}
        for path, copy in copies.items():
            shutil.copyfile(files[path], copy)
            copy.chmod(0o644)
        yield {**files, **copies}


def _counts_per_namespace() -> bool:
    """Linux 5.14 and later count RLIMIT_NPROC per user namespace; before, all of the user's processes count."""
    release = os.uname().release.split(".")
    try:
        return (int(release[0]), int(release[1])) >= (5, 14) or os.getuid() == 0
    except ValueError:
        return False
