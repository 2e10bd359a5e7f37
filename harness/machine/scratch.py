"""Temporary folders: where they are, and that none outlives its process.

They are made in TMPDIR, or where Python would look next (TEMP, TMP, /tmp, /var/tmp). Unlike Python, a folder that is
named and cannot be used is an error and not a reason to write elsewhere.

Each has a lock that its process holds until it ends, however it ends. The next run removes those whose lock is free.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ConfigError
from harness.machine.disk import naming, space_problem
from harness.machine.interrupts import held

PREFIX, UNFINISHED, LOCK = "harness-", "harness-new-", ".lock"
UNFINISHED_S = 3600.0  # after which a folder that never got its lock is nobody's
LEAST_BYTES = 16 << 20  # requests and answers of the smallest cells


def root() -> Path:
    """The folder for temporary files. It may not exist, or not be writable: see `problems`."""
    named = next(filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), None)
    usual = next((folder for folder in ("/tmp", "/var/tmp") if os.path.isdir(folder)), os.getcwd())
    return Path(os.path.abspath(named or usual))


def use_everywhere() -> None:
    """Have Python's `tempfile`, and so every library, use `root()` too."""
    tempfile.tempdir = str(root())


def problems() -> list[str]:
    """Return why `root()` cannot be used. For preflight."""
    folder = root()
    if not folder.is_dir():
        return [f"TMPDIR {folder}: no such directory; create it, or set TMPDIR to another"]
    if not os.access(folder, os.W_OK | os.X_OK):
        return [f"TMPDIR {folder}: not writable; set TMPDIR to a folder that you own"]
    return space_problem(f"TMPDIR {folder}", folder, LEAST_BYTES, "set TMPDIR to another folder")


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A folder `harness-KIND-...` while the context lasts. Raises ConfigError and DiskFull, which name the folder."""
    folder = None
    try:
        with held():
            folder, lock = _make(kind)
        yield folder
    finally:
        with held():
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _make(kind: str) -> tuple[Path, int]:
    """The folder, and the descriptor that holds its lock."""
    parent = root()
    try:
        with naming(parent):
            work = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=parent))
    except OSError as error:
        raise ConfigError(
            f"no temporary folder can be made in {parent}: {error.strerror}; set TMPDIR to a folder that you own"
        ) from None
    try:
        work.chmod(0o700)
        with naming(parent):
            lock = os.open(work / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        home = work.with_name(work.name.replace(UNFINISHED, f"{PREFIX}{kind}-", 1))
        work.rename(home)  # only now may `remove_abandoned` look at it
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return home, lock


def remove_abandoned() -> None:
    """Remove what processes that were killed left in `root()`. Folders of others, and of who still runs, stay."""
    for folder in root().glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.getuid() or folder.is_symlink() or not folder.is_dir():
                continue
            if folder.name.startswith(UNFINISHED):
                if time.time() - facts.st_mtime > UNFINISHED_S:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
