"""Write files whole or not at all, and say in one line which folder is on a full disk."""

import contextlib
import errno
import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from harness.errors import DiskFull, HarnessError

CODES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # EFBIG: the limit of `ulimit -f`
SAID = re.compile(r"No space left on device|Disk quota exceeded|File too large|database or disk is full")
FULL_BYTES = 64 << 10  # below it not even a log fits


def write_atomically(path: Path, data: str | bytes) -> None:
    """Write and sync a file; a reader sees the old one or the new one. A symbolic link is replaced, not followed.

    Raises OSError.
    """
    work = path.with_name(f"{_half(path)}{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        write_synced(work, data)
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)


def remove_abandoned(path: Path) -> None:
    """Remove half-written copies of a file whose processes were killed; their pid is in the copies' names."""
    for half in path.parent.glob(f"{glob.escape(_half(path))}*-*"):
        pid = half.name.removeprefix(_half(path)).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and half.is_file():
            half.unlink(missing_ok=True)


def _half(path: Path) -> str:
    return f".{path.name[-60:]}-"


def write_synced(path: Path, data: str | bytes) -> None:
    with path.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


def is_full(error: BaseException | None) -> bool:
    """Whether the error, or one that led to it, is a full disk."""
    return cause(error) is not None


def cause(error: BaseException | None) -> BaseException | None:
    """The error in the chain that is a full disk; a library's own error may only say so."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        full = isinstance(error, OSError) and error.errno in CODES
        if full or (not isinstance(error, DiskFull) and SAID.search(str(error)[:2000])):
            return error
        error = error.__cause__ or error.__context__
    return None


def full(folder: Path | str, why: str | None = None) -> DiskFull:
    why = why or os.strerror(errno.ENOSPC)
    again = "free some space there, then run the same command again: what was measured is stored"
    return DiskFull(f"no space left for {folder} ({why}); {again}")


@contextlib.contextmanager
def naming(folder: Path | str) -> Iterator[None]:
    """Raise DiskFull with the name of the folder in place of an OSError that says no space is left."""
    try:
        yield
    except OSError as error:
        if error.errno not in CODES:
            raise
        raise full(folder, error.strerror) from None


@contextlib.contextmanager
def among(*folders: Path) -> Iterator[None]:
    """Raise DiskFull in place of any error that a full disk led to: see `explain`."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        if (full_disk := explain(error, *folders)) is None:
            raise
        raise full_disk from None


def explain(error: BaseException, *folders: Path) -> DiskFull | None:
    """The DiskFull that the error amounts to. It names the file's folder, or the fullest of `folders`. None if none."""
    found = cause(error)
    if found is None:
        return None
    file = getattr(found, "filename", None)
    named = Path(os.fsdecode(file)).parent if isinstance(file, (str, bytes)) and file else fullest(*folders)
    return full(named, getattr(found, "strerror", None))


def fullest(*folders: Path) -> Path:
    return min(folders, key=free_bytes)


def free_bytes(folder: Path) -> int:
    """On the disk that the folder is on, or will be on."""
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path("/"))
    return shutil.disk_usage(existing).free


def check(*folders: Path) -> None:
    """Raise DiskFull for the first that has no room for a log line: what failed meanwhile failed of that."""
    for folder in folders:
        if free_bytes(folder) < FULL_BYTES:
            raise full(folder)


def space_problem(what: str, folder: Path, wanted: int, instead: str) -> list[str]:
    """For preflight."""
    free = free_bytes(folder)
    if free >= wanted:
        return []
    return [f"{what}: {free / 1e6:.1f} MB free, {wanted / 1e6:.0f} MB wanted; free some or {instead}"]
