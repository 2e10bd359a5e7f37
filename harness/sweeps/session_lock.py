"""Sessions whose run was killed: they stop their engines by themselves, and the next run waits for that."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from harness.console.progress import Progress
from harness.errors import ConfigError
from harness.records.store import Store

LOCK = ".sessions"  # in the store's folder: each session that runs beside others holds it
WAIT_S = 60.0  # the longest that engines get to stop


@contextlib.contextmanager
def counted(store: Path) -> Iterator[None]:
    """Hold the lock, with the other sessions; the folder is made where the session is on another machine."""
    store.mkdir(parents=True, exist_ok=True)
    with (store / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def await_abandoned(store: Store, progress: Progress) -> None:
    """Wait until no session of a killed run is left; sessions of a run that still lives are not waited for."""
    path = store.root / LOCK
    if not path.exists():
        return
    with contextlib.suppress(ConfigError), store.locked(), path.open("a") as lock:
        deadline, told = time.monotonic() + WAIT_S, False
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if not told:
                progress.say("waiting for the engines of a run that was killed to stop")
                told = True
            time.sleep(0.1)
