"""Finished probes of a capacity search that has not ended: what a run that was interrupted has measured of it.

    results/SWEEP/probes/FINGERPRINT/0.jsonl.gz, 1.jsonl.gz, ...

The first line is the probe, the others are its requests (request.py), from which all else is computed again. A file is
written whole and renamed into place; gzip's checksum and the count of requests tell a damaged one. The folder is
removed when the cell's record is written: until then the next run goes on from its probes.
"""

import gzip
import json
import shutil
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.machine.disk import write_atomically
from harness.records.disk_errors import disk_errors
from harness.records.fields import Json, Stored
from harness.records.flag import Flag
from harness.records.request import Request
from harness.records.shapes import mismatch
from harness.records.stored_shape import shape_of
from harness.redaction.masked_data import mask_row

FOLDER = "probes"


@dataclass(frozen=True, kw_only=True)
class KeptProbe(Stored):
    """A finished probe, without what follows from its requests."""

    number: int
    rate_rps: float
    requests: int
    valid: bool
    flags: tuple[Flag, ...] = ()
    burst_rps: float | None = None  # of the search
    burst_s: float | None = None


Kept = tuple[KeptProbe, list[Json]]
SHAPE, ROW = shape_of(KeptProbe), shape_of(Request)


class Probes(Protocol):
    """Where finished probes are kept, by the fingerprint of their cell."""

    def read(self, fingerprint: str) -> list[Kept]: ...

    def keep(self, fingerprint: str, probe: KeptProbe, rows: Sequence[Json]) -> None: ...


class KeptProbes:
    """Those of a store."""

    def __init__(self, root: Path):
        self._root = root / FOLDER
        self._ignored: set[str] = set()

    def read(self, fingerprint: str) -> list[Kept]:
        """Return the probes from the first on, up to one that is missing or cannot be read."""
        found: list[Kept] = []
        while fingerprint not in self._ignored and (one := _read(self._path(fingerprint, len(found)), len(found))):
            found.append(one)
        return found

    def keep(self, fingerprint: str, probe: KeptProbe, rows: Sequence[Json]) -> None:
        """Raises DiskFull."""
        if probe.number == 0:  # a new search
            self.drop([fingerprint])
        lines = [json.dumps({**probe.to_json(), "rows": len(rows)})]
        for row in rows:
            text = json.dumps(row, separators=(",", ":"))
            masked = mask_row(row, text)
            lines.append(text if masked is row else json.dumps(masked, separators=(",", ":")))
        path = self._path(fingerprint, probe.number)
        with disk_errors(self._root.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, gzip.compress("\n".join(lines).encode(), mtime=0))

    def drop(self, fingerprints: Iterable[str]) -> None:
        for fingerprint in fingerprints:
            shutil.rmtree(self._root / fingerprint, ignore_errors=True)
            self._ignored.discard(fingerprint)

    def ignore(self, fingerprints: Iterable[str]) -> None:
        """Begin these searches from their first probe."""
        self._ignored.update(fingerprints)

    def _path(self, fingerprint: str, number: int) -> Path:
        return self._root / fingerprint / f"{number}.jsonl.gz"


def _read(path: Path, number: int) -> Kept | None:
    try:
        first, *rows = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
        count = first.pop("rows")
    except (OSError, EOFError, zlib.error, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    if mismatch(first, SHAPE) or count != len(rows) or first["number"] != number or any(mismatch(r, ROW) for r in rows):
        return None
    return KeptProbe.from_json(first), rows
