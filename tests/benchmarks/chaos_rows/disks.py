"""Full disks: a small tmpfs as root, which is filled and emptied; for others the file size limit of `ulimit -f`."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

# Above what preflight wants to be free: 0.5 GB for results and cache, 16 MB for the temporary folder.
MEBIBYTES = {"results": 640, "cache": 640, "reports": 16, "tmp": 32}
BALLAST = "ballast"


def can_mount(folder: Path) -> bool:
    try:
        with small_disk(folder, 1):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def fill(folder: Path) -> None:
    """To the last byte."""
    with (folder / BALLAST).open("wb", buffering=0) as file:
        free = os.statvfs(folder)
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(0, free.f_bavail * free.f_frsize - (64 << 10)))
        file.seek(0, os.SEEK_END)
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass


def empty(folder: Path) -> None:
    (folder / BALLAST).unlink(missing_ok=True)


def limited(bytes_a_file: int) -> Callable[[], None]:
    """For between fork and exec: no file may grow beyond it."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, resource.RLIM_INFINITY))
