"""Runs a command that executes model-written code: no network, no secrets, nothing to write to, nothing left behind.

What the command sees is made up from nothing: the system's programs and libraries, this Python and its packages,
the files it was given (all read-only), a `/tmp` and `/dev/shm` of its own in memory, its own process table, an empty
environment. Home folders, the project, results and the network are not there. bubblewrap makes it; without it
util-linux's unshare does the same with a mount script.

Inside, a first stage gives up every privilege and sets resource limits. Outside, a watch kills the whole tree at the
wall clock, at too many processes, at too much memory in all, at too much output, or after too long a silence.
RLIMIT_NPROC does not bind the superuser, so a harness that runs as root drops to an unused user id in the stage.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.accuracy.bounded import DEFAULT_LIMITS, Finished, Limits, run_bounded
from harness.errors import HarnessError

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

# Arguments: seconds of CPU, bytes of memory and of a file, processes (0: no limit), isolated (0, 1), the command.
_STAGE = """
import ctypes, os, random, resource, sys
cpu, memory, file_size, processes, isolated = map(int, sys.argv[1:6])
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
for capability in range(64):
    libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: the exec below leaves none
if isolated and os.getuid() == 0:
    user = random.randrange(61184, 65520)  # systemd's range for dynamic users: nobody's
    try:
        os.setgroups([]), os.setresgid(user, user, user), os.setresuid(user, user, user)
    except OSError:
        pass  # root of a user namespace that maps no other id
limits = [(resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, file_size),
          (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 256)]
if processes:
    limits.append((resource.RLIMIT_NPROC, processes))
for name, value in limits:
    hard = resource.getrlimit(name)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(name, (value, value))
os.execv(sys.argv[6], sys.argv[6:])
"""

# unshare's way. Arguments: an empty folder, bytes of /tmp, then "source target" pairs up to "--", then the command.
_MOUNTS = """
set -e
PATH=$PATH:/usr/sbin:/sbin
root=$1; size=$2; shift 2
mount -t tmpfs -o mode=755,size=1m tmpfs "$root"
mkdir -p "$root/tmp" "$root/proc" "$root/dev" "$root/old"
mount -t tmpfs -o mode=1777,size=$size,nosuid,nodev tmpfs "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc"
for name in null zero full random urandom; do : > "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=$size,nosuid,nodev tmpfs "$root/dev/shm"
while [ "$1" != "--" ]; do
    if [ -L "$1" ]; then ln -s "$(readlink "$1")" "$root$2"
    else
        if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; : > "$root$2"; fi
        mount --rbind "$1" "$root$2"
        awk -v at="$root$2" '$5 == at || index($5, at "/") == 1 {sub("^rw", "ro", $6); print $6, $5}' \\
            /proc/self/mountinfo | while read -r options at; do mount -o "remount,bind,$options" "$at"; done
    fi
    shift 2
done
shift
cd "$root"
mount -o remount,bind,ro "$root"
pivot_root . old
umount -l old
cd /tmp
exec "$@"
"""


@dataclass(frozen=True)
class Sandbox:
    """`kind` is bubblewrap, unshare or none; `program` the bwrap or unshare that was found to work."""

    kind: str
    program: str | None = None

    def run(
        self,
        command: list[str],
        *,
        files: dict[str, Path] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        environment: dict[str, str] | None = None,
        work_dir: Path | None = None,
    ) -> Finished:
        """`files` are host files by their absolute path inside; without a sandbox they are found by `inside()`.

        `work_dir` must exist where kind is unshare or none: an empty mount point, or the command's own folder.
        """
        line = self._line(command, files or {}, limits, work_dir)
        env = {**ENVIRONMENT, **(environment or {})}
        if self.kind == "none" and work_dir is not None:
            env |= {"HOME": str(work_dir), "TMPDIR": str(work_dir)}
        return run_bounded(line, env, limits, cwd=work_dir if self.kind == "none" else None)

    @property
    def isolates(self) -> bool:
        return self.kind != "none"

    def inside(self, path: str, files: dict[str, Path]) -> str:
        """Where the command finds a file of `files`."""
        return path if self.isolates else str(files[path])

    def _line(self, command: list[str], files: dict[str, Path], limits: Limits, work_dir: Path | None) -> list[str]:
        processes = limits.processes if self.isolates and _counts_per_namespace() else 0
        numbers = [limits.cpu_s, limits.memory_bytes, limits.file_bytes, processes, self.isolates]
        stage = [sys.executable, "-I", "-S", "-c", _STAGE, *map(str, map(int, numbers)), *command]
        if self.kind == "none":
            return stage
        visible = [(path, path) for path in _visible()] + [(str(host), path) for path, host in files.items()]
        if self.kind == "bubblewrap":
            return [self.program, *_bubblewrap_arguments(visible, limits), "--", *stage]
        if work_dir is None:
            raise ValueError("unshare needs an empty folder to mount on")
        pairs = [part for pair in visible for part in pair]
        mount_point = str(work_dir.resolve())
        return [
            *(self.program, "--net", "--ipc", "--uts", "--mount", "--pid", "--fork", "--kill-child=KILL"),
            *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
            *("sh", "-c", _MOUNTS, "sh"),
            *(mount_point, str(limits.tmp_bytes), *pairs, "--", *stage),
        ]


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
        + "): install bubblewrap and allow user namespaces, or accept the risk with allow_unsandboxed: true"
    )


def problems(allow_unsandboxed: bool = False) -> list[str]:
    """For preflight."""
    try:
        find(allow_unsandboxed)
    except HarnessError as error:
        return [str(error)]
    return []


@functools.cache
def _find() -> tuple[Sandbox | None, list[str]]:
    candidates = [("bubblewrap", path) for path in [shutil.which("bwrap")] if path]
    candidates += [("unshare", path) for path in [shutil.which("unshare")] if path]
    reasons = [] if candidates else ["neither bwrap nor unshare is installed"]
    for kind, path in candidates:
        sandbox = Sandbox(kind, path)
        if (reason := _trial(sandbox)) is None:
            return sandbox, reasons
        reasons.append(f"{path}: {reason}")
    return None, reasons


def _trial(sandbox: Sandbox) -> str | None:
    """None when a child process of this Python runs in it."""
    check = "import os; pid = os.fork(); pid or os._exit(0); print(os.waitpid(pid, 0)[1])"
    limits = Limits(wall_s=20.0)
    with tempfile.TemporaryDirectory(prefix="harness-sandbox-") as folder:
        try:
            done = sandbox.run([sys.executable, "-c", check], limits=limits, work_dir=Path(folder))
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
    if done.returncode == 0 and done.stdout.strip() == b"0":
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1][:200] if said else f"exit code {done.returncode} ({done.ended})"


def _counts_per_namespace() -> bool:
    """Linux 5.14 and later count RLIMIT_NPROC per user namespace; before, all of the user's processes count."""
    release = os.uname().release.split(".")
    try:
        return (int(release[0]), int(release[1])) >= (5, 14) or os.getuid() == 0
    except ValueError:
        return False


def _visible() -> list[str]:
    """Paths that the command needs to start, parents first, none inside another."""
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.realpath(sys.base_prefix)}
    packages = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    python |= {entry for entry in packages if Path(entry).is_dir()}
    wanted = [path for path in (*SYSTEM, *ETC) if os.path.lexists(path)]
    for path in sorted(python):
        if not any(path == known or path.startswith(known + "/") for known in wanted):
            wanted.append(path)
    return wanted


def _bubblewrap_arguments(visible: list[tuple[str, str]], limits: Limits) -> list[str]:
    line = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if os.getuid() == 0:
        line += ["--cap-drop", "ALL"]  # but for what the stage needs to give up the rest
        for name in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            line += ["--cap-add", name]
    else:
        line += ["--unshare-user"]
    size = str(int(limits.tmp_bytes))
    line += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/dev/shm"):
        line += ["--perms", "1777", "--size", size, "--tmpfs", folder]
    parents = {str(parent) for _, target in visible for parent in Path(target).parents} - {"/", "/tmp"}
    for folder in sorted(parents):  # bwrap would make them for root alone
        line += ["--perms", "0755", "--dir", folder]
    for source, target in visible:
        if os.path.islink(source) and source == target:
            line += ["--symlink", os.readlink(source), target]
        else:
            line += ["--ro-bind", source, target]
    return [*line, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
