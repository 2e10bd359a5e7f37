"""What a session needs of a store: its cells' records, and where to put new ones. On the machine of the store that is
the store (store.py); elsewhere results stream to the process that writes it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from harness.records.fields import Json
from harness.records.kept_probes import Probes
from harness.records.phase import PhaseTime
from harness.records.record import Record
from harness.records.usage import SpentBeside


class Results(Protocol):
    root: Path

    @property
    def probes(self) -> Probes:
        """Those of capacity searches that have not ended."""

    @property
    def logs(self) -> Path: ...

    def __contains__(self, fingerprint: str) -> bool: ...

    def record(self, fingerprint: str) -> Record: ...

    def rows(self, fingerprint: str) -> list[Json]: ...

    def earlier_tries(self, fingerprint: str | None = None) -> list[Record]: ...

    def write(self, record: Record, rows: Iterable[Json], telemetry: Sequence[Json] | None = None) -> None: ...

    def write_failure(self, key: str, error: str, log: str | None) -> None: ...

    def note_spent(self, taken: SpentBeside) -> None: ...

    def note_phase(self, taken: PhaseTime) -> None: ...
