"""results/: one atomic record a cell. The only truth.

    results/SWEEP/sweep.json                       the manifest: the last plan and its resolved configuration
    results/SWEEP/cells/VARIANT--WHAT--FINGERPRINT/record.json, rows.jsonl.gz, and telemetry.jsonl.gz where NVML is
    results/SWEEP/cells/.damaged/                  what was found damaged and set aside; nothing reads it
    results/SWEEP/cells/.earlier/                  invalid tries, and what --fresh measured again (earlier_tries.py)
    results/SWEEP/probes/FINGERPRINT/              of a capacity search that has not ended (kept_probes.py)
    results/SWEEP/failures/KEY.json                a cell that could not be measured; gone once it could
    results/SWEEP/spent.jsonl                      what an endpoint took for no record: warm-ups, cells that failed
    results/SWEEP/logs/                            server logs, whole; phases.jsonl: how long each phase took

A cell is written into a hidden folder and renamed into place: it is there whole or not at all, whenever we are killed.
A valid cell is never written again, but for one that `measure_again` names: the new one then takes its place.
Secrets are masked in what is written and read (an older store may hold some), but for what identifies a cell.

Since schema 2 every JSON file holds its own digest (stored_json.py) and a record those of the files beside it
(cell_files.py); they are compared on every reading. A record of schema 1 has none: its result is computed again from
its rows. Readers leave out what is damaged and list it in `damages`; only `set_aside` moves it, under the lock.
"""

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.errors import ConfigError, HarnessError
from harness.machine.disk import write_atomically
from harness.records import Damage, cell_files
from harness.records.cell_files import check_rows, masked, move_into, read_record, slug
from harness.records.disk_errors import disk_errors
from harness.records.earlier_tries import EARLIER, read_earlier
from harness.records.failed_cell import FailedCell
from harness.records.fields import Json
from harness.records.kept_probes import KeptProbes
from harness.records.manifest import Manifest
from harness.records.manifest_check import manifest_fault
from harness.records.phase import PhaseTime, append_phase, read_phases
from harness.records.record import Record
from harness.records.shapes import mismatch
from harness.records.spent import spent_lines, spent_text
from harness.records.stored_json import Damaged, read_bytes, read_json, with_digest
from harness.records.stored_shape import shape_of
from harness.records.usage import SpentBeside
from harness.untrusted.names import link_out

CHANGED = "it was changed after it was written: it does not match its digest"


class Store:
    def __init__(self, root: Path):
        self.root = root
        self.cells = root / "cells"
        self.probes = KeptProbes(root)
        self._index = {path.name.rsplit("--", 1)[-1]: path for path in sorted(self.cells.glob("*--*"))}
        self._checked: set[str] = set()  # fingerprints whose rows are the record's
        self._again: set[str] = set()  # fingerprints of cells that are to be measured again
        self._damages: dict[Path, Damage] = {}

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What was found damaged, in all that was read so far."""
        return tuple(self._damages.values())

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One sweep at a time in one results folder. Raises ConfigError when another runs."""
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            if link := link_out(self.root, ("cells", "failures", "logs", "probes")):
                raise ConfigError(f"{link} is a symbolic link: what is written there would land elsewhere; remove it")
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
            for leftover in [*self.root.glob(".*.json-*"), *self.root.glob("failures/.*.json-*")]:
                leftover.unlink(missing_ok=True)
            yield

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._index

    def folder(self, fingerprint: str) -> Path:
        return self._index[fingerprint]

    def measure_again(self, fingerprints: Iterable[str]) -> None:
        """Count these as not measured. Each stays until `write` has the new one, and for ever if that fails."""
        for fingerprint in self._index.keys() & set(fingerprints):
            self.probes.ignore([fingerprint])
            self._again.add(fingerprint)
            del self._index[fingerprint]

    def records(self, fingerprints: Iterable[str]) -> list[Record]:
        """Return the records that are stored and whole; what is damaged is no longer in the store."""
        found = []
        for fingerprint in fingerprints:
            with self._noting(fingerprint):
                found += [self.record(fingerprint)] if fingerprint in self else []
        return found

    def record(self, fingerprint: str) -> Record:
        """Raises Damaged, the first time also for its rows."""
        folder = self._index[fingerprint]
        record = read_record(folder)
        if fingerprint not in self._checked:
            check_rows(folder, record)
            self._checked.add(fingerprint)
        return record

    def of_key(self, key: str) -> list[Record]:
        """Return the records of a key, whatever their fingerprints; their rows are not read, damaged ones left out."""
        found = []
        for fingerprint, folder in self._index.items():
            if folder.name == f"{slug(key)}--{fingerprint}":
                with contextlib.suppress(HarnessError, OSError):
                    found.append(read_record(folder))
        return found

    def earlier_tries(self, fingerprint: str | None = None) -> list[Record]:
        """Return what was measured before a cell was measured again, the first first: of a cell, or of all."""
        return read_earlier(self.cells, fingerprint)

    def rows(self, fingerprint: str) -> list[Json]:
        """Return the items, requests or products beside a record."""
        return cell_files.read_rows(self._index[fingerprint])

    def survey(self, fingerprints: Iterable[str]) -> None:
        """Read all that a sweep of these cells builds on: see `damages`. Raises NewerSchema."""
        self.records(fingerprints)
        self._survey_files()

    def check(self) -> int:
        """Check all that is stored, see `damages`, and return the number of cells. Raises NewerSchema."""
        cells = list(self._index)
        for fingerprint in cells:
            with self._noting(fingerprint):
                cell_files.check_cell(self._index[fingerprint], read_record(self._index[fingerprint]))
        self._survey_files()
        return len(cells)

    def _survey_files(self) -> None:
        self.failures()
        self.spent()
        if os.path.lexists(self._manifest):
            try:
                manifest, intact = read_json(self._manifest, needs_schema=False)
                if wrong := manifest_fault(manifest) or (None if intact else CHANGED):
                    self._note(self._manifest, wrong)
            except Damaged as damage:
                self._note(self._manifest, damage)

    def set_aside(self) -> tuple[Damage, ...]:
        """Move what is damaged into cells/.damaged, as far as it still is. Call it under the lock.

        What can be read of spent.jsonl is kept. The manifest stays: only the sweep's command can write it anew.
        Returns what was moved.
        """
        noted, self._damages = self._damages, {}
        for folder in (path for path in noted if path.parent == self.cells and os.path.lexists(path)):
            try:
                check_rows(folder, read_record(folder))
            except Damaged as damage:
                self._note(folder, damage)
        self.failures()
        readable = self.spent()
        with disk_errors(self.root):
            for path in self._damages:
                move_into(self.cells / ".damaged", path)
            if self._spent in self._damages and readable:
                write_atomically(self._spent, spent_text(readable))
        return self.damages

    @contextlib.contextmanager
    def _noting(self, fingerprint: str) -> Iterator[None]:
        try:
            yield
        except Damaged as damage:
            self._note(self._index.pop(fingerprint), damage)

    def _note(self, path: Path, reason: object) -> None:
        self._damages[path] = Damage(str(path.relative_to(self.root)), str(reason))

    def write(self, record: Record, rows: Iterable[Json], telemetry: Sequence[Json] | None = None) -> None:
        """Write a cell; an invalid try of it is kept beside. Raises DiskFull; nothing is left behind then."""
        key, fingerprint = record.cell.key, record.fingerprint
        home = self.cells / f"{slug(key)}--{fingerprint}"
        work = self.root / f".cell-{uuid.uuid4().hex}"
        with disk_errors(self.root):
            try:
                work.mkdir(parents=True)
                cell_files.write_cell(work, record, rows, telemetry)
                self.cells.mkdir(exist_ok=True)
                if fingerprint not in self and os.path.lexists(home):
                    move_into(self.cells / (EARLIER if fingerprint in self._again else ".damaged"), home)
                elif fingerprint in self and self.record(fingerprint).invalid:
                    move_into(self.cells / EARLIER, self._index.pop(fingerprint))
                os.rename(work, home)
                cell_files.sync_folder(self.cells)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        self._index[fingerprint] = home
        self._checked.add(fingerprint)
        self._failure_path(key).unlink(missing_ok=True)
        self.probes.drop([fingerprint])

    def write_manifest(self, manifest: Manifest) -> None:
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            write_atomically(self._manifest, with_digest(masked(manifest.to_json())))

    def manifest(self) -> Manifest:
        """Raises ConfigError for one that cannot be read; one that was changed is read and in `damages`."""
        path = self._manifest
        if not path.is_file():
            raise ConfigError(f"{self.root} has no sweep.json; name a folder that a sweep has written, results/SWEEP")
        try:
            manifest, intact = read_json(path, needs_schema=False)
            if wrong := manifest_fault(manifest):
                raise Damaged(wrong)
        except Damaged as damage:
            raise ConfigError(f"{path} is damaged ({damage}); run the sweep again to write it anew") from None
        if not intact:
            self._note(path, CHANGED)
        return Manifest.from_json(masked(manifest))

    def write_failure(self, key: str, error: str, log: str | None) -> None:
        with contextlib.suppress(OSError):  # a full disk is reported by the run; the failure is in its log as well
            path = self._failure_path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, with_digest(masked(FailedCell(key, error, log).to_json())))

    def note_spent(self, taken: SpentBeside) -> None:
        with disk_errors(self.root):
            write_atomically(self._spent, spent_text([*self.spent(), taken]))
        self._damages.pop(self._spent, None)

    def spent(self) -> list[SpentBeside]:
        """What was taken for no record, as far as it can be read."""
        if not os.path.lexists(self._spent):
            return []
        try:
            lines, wrong = spent_lines(read_bytes(self._spent))
        except Damaged as damage:
            lines, wrong = [], str(damage)
        if wrong:
            self._note(self._spent, wrong)
        return lines

    def note_phase(self, taken: PhaseTime) -> None:
        append_phase(self._phases, taken)

    def phases(self) -> list[PhaseTime]:
        return read_phases(self._phases)

    @property
    def _phases(self) -> Path:
        return self.logs / "phases.jsonl"

    @property
    def _spent(self) -> Path:
        return self.root / "spent.jsonl"

    @property
    def _manifest(self) -> Path:
        return self.root / "sweep.json"

    def failures(self) -> list[FailedCell]:
        """What could not be measured; a failure that is damaged is in `damages`, and its cell is only not measured."""
        found = []
        for path in sorted((self.root / "failures").glob("*.json")):
            try:
                found.append(self._failure(path))
            except Damaged as damage:
                self._note(path, damage)
        return found

    def _failure(self, path: Path) -> FailedCell:
        failure, intact = read_json(path, needs_schema=False)
        wrong = mismatch(failure, shape_of(FailedCell)) if intact else f"{path.name} does not match its digest"
        if not wrong and self._failure_path(failure["key"]) != path:
            wrong = f"{path.name} is of the cell {failure['key']!a}"
        if wrong:
            raise Damaged(wrong)
        return FailedCell.from_json(masked(failure))

    def _failure_path(self, key: str) -> Path:
        return self.root / "failures" / f"{slug(key)}.json"
