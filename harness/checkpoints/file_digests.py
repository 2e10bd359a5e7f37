"""Digests of whole files, BLAKE3 unless asked otherwise, each computed once and remembered in the cache folder.

A remembered digest counts while path, size, modification and change time (ns) and inode are the same. Small files are
hashed every time: that takes less than looking a digest up. So is a file that was written within the last two seconds,
because a second write in the same tick of the file system's clock leaves the same times (as git's index does).

Files are read, not mapped: a mapped file that somebody cuts short ends the process with SIGBUS.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import ConfigError
from harness.machine.disk import write_atomically

FOLDER = "digests"  # of the cache folder
FOLDER_SHA256 = "digests_sha256"
LARGE_BYTES = 16 << 20  # smaller files are not remembered
ENTRIES = 4096  # at most so many are remembered, ...
KEPT = 3072  # ... then the oldest are removed until so many are left
SETTLED_S = 2.0  # the coarsest clock of a file system in use (FAT)
BUFFER_BYTES = 1 << 20
THREADS = 4
SAY_AFTER_S, SAY_EVERY_S = 2.0, 10.0


@dataclass(frozen=True)
class Stamp:
    """What changes when a file does, as long as nobody sets the clock back."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: str, found: os.stat_result) -> "Stamp":
        return cls(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def settled(self, now: float) -> bool:
        """Whether a write after `now` must change the times."""
        return all(abs(now - at / 1e9) > SETTLED_S for at in (self.mtime_ns, self.ctime_ns))


class Hasher(Protocol):
    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


def _blake3() -> Hasher:
    from blake3 import blake3

    return blake3(max_threads=blake3.AUTO)


class Digests:
    """`folder` None: digests are kept for this process only. `say` is told when hashing takes long. A folder holds the
    digests of one `hasher`."""

    def __init__(
        self,
        folder: Path | None = None,
        say: Callable[[str], None] | None = None,
        hasher: Callable[[], Hasher] = _blake3,
    ):
        self.folder, self.say, self.hasher = folder, say, hasher
        self._known: dict[Stamp, str] = {}

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the digest of each file. Raise ConfigError for one that cannot be read or changes meanwhile."""
        stamps = {path: _stamp(path) for path in paths}
        found = {path: digest for path, stamp in stamps.items() if (digest := self._remembered(stamp))}
        unknown = {path: stamp for path, stamp in stamps.items() if path not in found}
        return found | self._hashed(unknown)

    def _hashed(self, stamps: dict[Path, Stamp]) -> dict[Path, str]:
        if not stamps:
            return {}
        began = time.time()
        work = _Work(sum(stamp.size for stamp in stamps.values()), self.hasher)
        found = work.run(stamps, self.say)
        for stamp, digest in found.values():
            if stamp.settled(began):
                self._known[stamp] = digest
                if stamp.size >= LARGE_BYTES:
                    self._remember(stamp, digest)
        return {path: digest for path, (_, digest) in found.items()}

    def _remembered(self, stamp: Stamp) -> str | None:
        if stamp not in self._known and self.folder and stamp.size >= LARGE_BYTES:
            # Damaged, another file's, or not there: hashed again.
            with contextlib.suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
                entry = json.loads(self._entry(self.folder, stamp).read_bytes())
                if entry == _entry_of(stamp, entry["digest"]):
                    self._known[stamp] = entry["digest"]
        return self._known.get(stamp)

    def _remember(self, stamp: Stamp, digest: str) -> None:
        """Write the entry atomically; a cache that cannot be written only costs time."""
        if self.folder is None:
            return
        entry = self._entry(self.folder, stamp)
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(entry, json.dumps(_entry_of(stamp, digest)))
            self._prune()

    @staticmethod
    def _entry(folder: Path, stamp: Stamp) -> Path:
        return folder / f"{blake3_of(os.fsencode(stamp.path))[:32]}.json"

    def _prune(self) -> None:
        entries = list(os.scandir(self.folder))
        if len(entries) <= ENTRIES:
            return
        aged = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries)
        for _, path in aged[: len(aged) - KEPT]:
            Path(path).unlink(missing_ok=True)


class _Work:
    """Hashing of some files in threads, which stop when the caller is interrupted."""

    def __init__(self, total: int, hasher: Callable[[], Hasher]):
        self.total, self.done, self.hasher = total, 0, hasher
        self.lock, self.stopped = threading.Lock(), threading.Event()

    def run(self, stamps: dict[Path, Stamp], say: Callable[[str], None] | None) -> dict[Path, tuple[Stamp, str]]:
        if self.total < LARGE_BYTES:
            return {path: self._hash(path) for path in stamps}
        largest_first = sorted(stamps, key=lambda path: -stamps[path].size)
        with ThreadPoolExecutor(min(THREADS, len(stamps), os.cpu_count() or 1)) as pool:
            futures = {pool.submit(self._hash, path): path for path in largest_first}
            try:
                self._wait(set(futures), largest_first, say)
                return {path: future.result() for future, path in futures.items()}
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _wait(self, pending: set[Future], paths: list[Path], say: Callable[[str], None] | None) -> None:
        next_at = time.monotonic() + SAY_AFTER_S
        what = f"{len(paths)} files in {paths[0].parent}" if len(paths) > 1 else str(paths[0])
        while pending:
            finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()  # raises what it met: the others are stopped
            if say and pending and time.monotonic() >= next_at:
                say(f"hashing {what}, once: {self.done / 1e9:.1f} of {self.total / 1e9:.1f} GB")
                next_at = time.monotonic() + SAY_EVERY_S

    def _hash(self, path: Path) -> tuple[Stamp, str]:
        real = os.path.realpath(path)
        hasher = self.hasher()
        try:
            with open(real, "rb", buffering=0) as file:
                before = Stamp.of(real, os.fstat(file.fileno()))
                buffer = memoryview(bytearray(min(BUFFER_BYTES, before.size + 1)))
                while size := file.readinto(buffer):
                    if self.stopped.is_set():
                        raise ConfigError(f"{path}: hashing was interrupted")
                    hasher.update(buffer[:size])
                    with self.lock:
                        self.done += size
                after = Stamp.of(real, os.fstat(file.fileno()))
        except OSError as error:
            raise _unreadable(path, error) from None
        if before != after:
            raise ConfigError(f"{path} changed while it was read; run the command again once it is written")
        return before, hasher.hexdigest()


def blake3_of(data: bytes) -> str:
    from blake3 import blake3

    return blake3(data).hexdigest()


def _stamp(path: Path) -> Stamp:
    try:
        return Stamp.of(os.path.realpath(path), os.stat(path))
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be read ({error.strerror or error}); it is part of a checkpoint: correct its "
                       "permissions or download it again")  # fmt: skip


def _entry_of(stamp: Stamp, digest: str) -> Mapping[str, object]:
    """Return what is stored, with a check value: a damaged digest must not be taken for another file's."""
    facts = {**asdict(stamp), "path": stamp.path.encode("utf-8", "surrogateescape").hex(), "digest": digest}
    return {**facts, "check": blake3_of(json.dumps(facts, sort_keys=True).encode())[:16]}
