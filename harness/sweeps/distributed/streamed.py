"""The store and the progress display of a session that runs elsewhere: what they are told becomes events."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.executors import Emit
from harness.records.fields import Json
from harness.records.kept_probes import Kept, KeptProbe
from harness.records.phase import PhaseTime
from harness.records.record import Record
from harness.records.usage import SpentBeside
from harness.sweeps.distributed.session_events import (
    Failed,
    Measured,
    PhaseNoted,
    ProbeMeasured,
    SessionWork,
    Shown,
    SpentNoted,
)

ADVANCE_S = 0.5  # between two reports of how far a cell is


class StreamedProbes:
    """Probes (harness/records/kept_probes.py) of one session."""

    def __init__(self, work: SessionWork, emit: Emit):
        self._known, self._emit = work.probes, emit

    def read(self, fingerprint: str) -> list[Kept]:
        return self._known.get(fingerprint, [])

    def keep(self, fingerprint: str, probe: KeptProbe, rows: Sequence[Json]) -> None:
        self._emit(ProbeMeasured(fingerprint, probe, list(rows)))


class StreamedResults:
    """Results (harness/records/results.py) of one session."""

    def __init__(self, work: SessionWork, emit: Emit):
        self.root = Path(work.root)
        self.probes = StreamedProbes(work, emit)
        self._records, self._rows = dict(work.records), work.rows
        self._earlier = {fingerprint: list(tries) for fingerprint, tries in work.earlier.items()}
        self._emit = emit

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._records or fingerprint in self._rows

    def record(self, fingerprint: str) -> Record:
        return self._records[fingerprint]

    def rows(self, fingerprint: str) -> list[Json]:
        return self._rows[fingerprint]

    def earlier_tries(self, fingerprint: str | None = None) -> list[Record]:
        return self._earlier.get(fingerprint or "", [])

    def write(self, record: Record, rows: Iterable[Json], telemetry: Sequence[Json] | None = None) -> None:
        self._emit(Measured(record, list(rows), list(telemetry) if telemetry else None))
        known = self._records.get(record.fingerprint)
        if known and known.invalid:
            self._earlier.setdefault(record.fingerprint, []).append(known)
        self._records[record.fingerprint] = record

    def write_failure(self, key: str, error: str, log: str | None) -> None:
        self._emit(Failed(key, error, log))

    def note_spent(self, taken: SpentBeside) -> None:
        self._emit(SpentNoted(taken))

    def note_phase(self, taken: PhaseTime) -> None:
        self._emit(PhaseNoted(taken))


class StreamedProgress:
    """Progress (harness/console/progress.py) of one session."""

    def __init__(self, emit: Emit):
        self._emit, self._advanced_s = emit, 0.0

    def say(self, message: str) -> None:
        self._emit(Shown("say", (message,)))

    def start(self, total_cells: int, estimate_s: float) -> None:
        return None  # of the whole run

    def add(self, cells: int) -> None:
        self._emit(Shown("add", (cells,)))

    def cell(self, key: str, session: str = "") -> None:
        self._emit(Shown("cell", (key,)))

    def advance(self, done: int, total: int, session: str = "") -> None:
        if (now := time.monotonic()) > self._advanced_s + ADVANCE_S:
            self._advanced_s = now
            self._emit(Shown("advance", (done, total)))

    def session_done(self, session: str) -> None:
        return None  # the process that shows it knows when it ends

    def cell_done(self, key: str, outcome: str, seconds: float, left_s: float) -> None:
        self._emit(Shown("cell_done", (key, outcome, seconds, left_s)))

    def stop(self) -> None:
        return None
