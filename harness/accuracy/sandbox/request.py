"""What every kind of sandbox is given to make its command line from."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.accuracy.sandbox.bounded import Limits

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


@dataclass(frozen=True)
class Request:
    program: str  # bwrap, unshare, podman, ...
    options: tuple[str, ...]
    command: list[str]
    visible: list[tuple[str, str]]  # (on the host, inside), read-only, parents first
    limits: Limits
    work_dir: Path | None


def visible_paths() -> list[str]:
    """Paths that the command needs to start, parents first, none inside another."""
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.realpath(sys.base_prefix)}
    packages = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    python |= {entry for entry in packages if Path(entry).is_dir()}
    wanted = [path for path in (*SYSTEM, *ETC) if os.path.lexists(path)]
    for path in sorted(python):
        if not any(path == known or path.startswith(known + "/") for known in wanted):
            wanted.append(path)
    return wanted
