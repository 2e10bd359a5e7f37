"""results/: one atomic record a cell. The only truth.

    results/SWEEP/sweep.json                       the manifest: the last plan and its resolved configuration
    results/SWEEP/cells/VARIANT--WHAT--FINGERPRINT/record.json, rows.jsonl.gz, and telemetry.jsonl.gz where NVML is
    results/SWEEP/failures/KEY.json                a cell that could not be measured; gone once it could
    results/SWEEP/spent.jsonl                      what an endpoint took for no record: warm-ups, cells that failed
    results/SWEEP/logs/                            server logs, whole

A cell is written into a hidden folder and renamed into place: it is there whole or not at all, whenever we are killed.
A cell that is there is never written again. Secrets are masked in whatever is written, and in what is read: an older
store may hold some. What identifies a cell is never masked: a known value may be a part of its key.
"""

import contextlib
import errno
import fcntl
import gzip
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, HarnessError
from harness.jsonlines import json_lines
from harness.masking import mask_data, mask_row

FULL_BYTES = 64 << 10
IDENTITY = ("cell", "cells", "fingerprint", "key")  # of a record, a manifest and a failure


class Store:
    def __init__(self, root: Path):
        self.root = root
        self.cells = root / "cells"
        self._index = {path.name.rsplit("--", 1)[-1]: path for path in self.cells.glob("*--*") if _whole(path)}

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One sweep at a time in one results folder. Raises ConfigError when another runs."""
        with _disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f"{self.root} is in use by another run; wait for it, or set name= to another"
                ) from None
            for leftover in self.root.glob(".cell-*"):  # of a run that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            yield

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._index

    def record(self, fingerprint: str) -> dict[str, Any]:
        return _masked(json.loads((self._index[fingerprint] / "record.json").read_text()))

    def of_key(self, key: str) -> list[str]:
        """Return the fingerprints under which cells of this key are stored."""
        return [found for found, path in self._index.items() if path.name == f"{slug(key)}--{found}"]

    def rows(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """The items or requests of a record."""
        with gzip.open(self._index[record["fingerprint"]] / "rows.jsonl.gz", "rt") as file:
            return [mask_row(json.loads(line), line) for line in file]

    def write(
        self, record: dict[str, Any], rows: Iterable[dict[str, Any]], telemetry: list[dict[str, Any]] | None = None
    ) -> None:
        """Raises HarnessError when the disk is full; nothing is left behind then."""
        cell, fingerprint = record["cell"], record["fingerprint"]
        home = self.cells / f"{slug(cell['key'])}--{fingerprint}"
        work = self.root / f".cell-{uuid.uuid4().hex}"
        with _disk_errors(self.root):
            try:
                work.mkdir(parents=True)
                _write_rows(work / "rows.jsonl.gz", rows)
                if telemetry:
                    _write_rows(work / "telemetry.jsonl.gz", telemetry)
                _write_synced(work / "record.json", json.dumps(_masked(record), indent=1))
                self.cells.mkdir(exist_ok=True)
                os.rename(work, home)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        self._index[fingerprint] = home
        self._failure_path(cell["key"]).unlink(missing_ok=True)

    def check_space(self) -> None:
        """Raises DiskFull when not even a log line fits."""
        if shutil.disk_usage(self.root).free < FULL_BYTES:
            raise DiskFull(_full(self.root))

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        with _disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            write_atomically(self.root / "sweep.json", json.dumps(_masked(manifest), indent=1))

    def manifest(self) -> dict[str, Any]:
        path = self.root / "sweep.json"
        if not path.is_file():
            raise ConfigError(f"{self.root} has no sweep.json; name a folder that a sweep has written, results/SWEEP")
        try:
            return _masked(json.loads(path.read_text()))
        except ValueError as error:
            raise ConfigError(f"{path} is not valid JSON ({error}); run the sweep again to write it anew") from None

    def write_failure(self, key: str, error: str, log: str | None) -> None:
        with contextlib.suppress(OSError):  # a full disk is reported by the run; the failure is in its log as well
            path = self._failure_path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(_masked({"key": key, "error": error, "log": log}), indent=1))

    def note_spent(self, what: str, taken: dict[str, Any]) -> None:
        """`taken`: usage and cost, as in a record."""
        with _disk_errors(self.root), self._spent.open("a") as file:
            file.write(
                "\n" + json.dumps(mask_data({"what": what, **taken}))
            )  # a line that a crash cut off stays one line

    def spent(self) -> list[dict[str, Any]]:
        """What was taken for no record; without a line that a crash cut off."""
        found = []
        for _, line in json_lines(self._spent) if self._spent.is_file() else ():
            with contextlib.suppress(ValueError):
                found.append(mask_data(json.loads(line)))
        return found

    @property
    def _spent(self) -> Path:
        return self.root / "spent.jsonl"

    def failures(self) -> list[dict[str, Any]]:
        paths = sorted((self.root / "failures").glob("*.json"))
        return [_masked(json.loads(path.read_text())) for path in paths]

    def _failure_path(self, key: str) -> Path:
        return self.root / "failures" / f"{slug(key)}.json"


def slug(key: str) -> str:
    return re.sub(r"[^\w.-]+", "--", key)


def write_atomically(path: Path, text: str) -> None:
    work = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        _write_synced(work, text)
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)


def _masked(stored: dict[str, Any]) -> dict[str, Any]:
    return mask_data(stored) | {name: stored[name] for name in IDENTITY if name in stored}


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as file:
        for row in rows:
            text = json.dumps(row, separators=(",", ":"))
            masked = mask_row(row, text)
            text = text if masked is row else json.dumps(masked, separators=(",", ":"))
            file.write(text.encode() + b"\n")


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _whole(path: Path) -> bool:
    return (path / "record.json").is_file()


def _full(root: Path) -> str:
    return f"no space left for {root}; free some, then run the same command again: what was measured is stored"


@contextlib.contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(_full(root)) from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise ConfigError(
                f"cannot write to {root}: {error.strerror}; set results_dir= to a folder you own"
            ) from None
        raise


class DiskFull(HarnessError):
    """Nothing more can be stored: the run stops, what is stored stays."""
