"""The files in the folder of one cell: a record, its rows and its telemetry samples, as gzipped JSON lines.

The record is written last and holds the count and the digest of each file beside it.
"""

import gzip
import itertools
import json
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from harness.machine.disk import write_synced
from harness.records.disk_errors import disk_errors
from harness.records.fields import Json
from harness.records.record import Record, StoredFile
from harness.records.record_check import record_fault, rows_fault
from harness.records.stored_json import Damaged, file_digest, parse_object, read_bytes, read_json, with_digest
from harness.redaction.masked_data import mask_data, mask_row
from harness.untrusted.names import shortened

IDENTITY = ("cell", "cells", "fingerprint", "key", "files")  # of a record, a manifest and a failure
RECORD, ROWS, SAMPLES = "record.json", "rows.jsonl.gz", "telemetry.jsonl.gz"


def write_cell(folder: Path, record: Record, rows: Iterable[Json], samples: Sequence[Json] | None) -> None:
    """Write a cell into an empty folder; everything is on the disk when this returns."""
    files = {ROWS: _write_rows(folder / ROWS, rows)}
    if samples:
        files[SAMPLES] = _write_rows(folder / SAMPLES, samples)
    beside = {"files": {name: file.to_json() for name, file in files.items()}}
    write_synced(folder / RECORD, with_digest(masked(record.to_json()) | beside))
    sync_folder(folder)


def read_record(folder: Path) -> Record:
    """Raises Damaged for a record that is not as it was written, or of another cell than its folder."""
    record, intact = read_json(folder / RECORD)
    if not intact:
        raise Damaged(f"{RECORD} does not match its digest")
    if wrong := record_fault(record):
        raise Damaged(f"{RECORD}: {wrong}")
    if record["fingerprint"] != re.sub(r"\.\d+$", "", folder.name.rpartition("--")[2]):  # .1 of move_into
        raise Damaged(f"{RECORD} is of {record['cell']['key']!a}, fingerprint {record['fingerprint']!a}")
    found = Record.from_json(masked(record))
    if has_digests(found) and ROWS not in found.files:
        raise Damaged(f"{RECORD} does not say what {ROWS} is")
    return found


def masked(stored: Json) -> Json:
    """Return what is stored without secrets. What identifies a cell stays: a known value may be a part of its key."""
    return mask_data(stored) | {name: stored[name] for name in IDENTITY if name in stored}


def has_digests(record: Record) -> bool:
    return (record.schema or 1) >= 2


def check_rows(folder: Path, record: Record) -> None:
    """Raise Damaged unless the rows are the record's: by their digest, or where it has none by what they hold."""
    if has_digests(record):
        _check_digest(folder, record, ROWS)
    else:
        check_cell(folder, record)


def check_cell(folder: Path, record: Record) -> None:
    """Check every file beside a record: digests, counts, and what the record says of its rows. Raises Damaged."""
    for name in record.files:
        _check_digest(folder, record, name)
    rows = list(_rows(folder / ROWS))
    told = record.files[ROWS].count if ROWS in record.files else len(rows)
    if told != len(rows):
        raise Damaged(f"{ROWS} has {len(rows)} rows, {RECORD} says {told}")
    if wrong := rows_fault(record, rows):
        raise Damaged(f"{ROWS}: {wrong}")


def read_rows(folder: Path) -> list[Json]:
    with gzip.open(folder / ROWS, "rt") as file:
        return [mask_row(_parsed(line), line) for line in file]


def _parsed(line: str | bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:  # NaN and lone surrogates, which Python writes
        return json.loads(line)


def _check_digest(folder: Path, record: Record, name: str) -> None:
    path = folder / name
    if not path.is_file():
        read_bytes(path)  # says what it is instead
    if file_digest(path) != record.files[name].blake3:
        raise Damaged(f"{name} does not match its digest in {RECORD}")


def _rows(path: Path) -> Iterable[Json]:
    try:
        lines = gzip.decompress(read_bytes(path)).split(b"\n")
    except (EOFError, OSError, zlib.error) as error:
        raise Damaged(f"{path.name} cannot be unpacked ({error})") from None
    for number, line in enumerate(lines[:-1] if lines[-1] == b"" else lines, 1):
        try:
            yield orjson.loads(line)
        except ValueError:
            yield parse_object(line, f"{path.name}, row {number},")


def _write_rows(path: Path, rows: Iterable[Json]) -> StoredFile:
    count = 0
    with path.open("wb") as raw:
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
            for row in rows:
                count += 1
                text = json.dumps(row, separators=(",", ":"))
                masked = mask_row(row, text)
                text = text if masked is row else json.dumps(masked, separators=(",", ":"))
                file.write(text.encode() + b"\n")
        raw.flush()
        os.fsync(raw.fileno())
    return StoredFile(count, file_digest(path))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy_into(folder: Path, path: Path) -> None:
    """Copy a cell's folder there: whole, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    work = folder.parent / f".cell-{uuid.uuid4().hex}"
    with disk_errors(folder.parent):
        try:
            shutil.copytree(path, work)
            os.rename(work, folder / path.name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    sync_folder(folder)


def move_into(folder: Path, path: Path) -> None:
    """Move a cell's folder there, under a name that is free."""
    folder.mkdir(parents=True, exist_ok=True)
    names = (f"{path.name}.{number}" if number else path.name for number in itertools.count())
    os.rename(path, next(folder / name for name in names if not os.path.lexists(folder / name)))


def slug(key: str) -> str:
    return shortened(re.sub(r"[^\w.-]+", "--", key), 150)
