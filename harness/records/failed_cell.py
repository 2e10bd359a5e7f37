"""failures/KEY.json: why a cell could not be measured."""

from dataclasses import dataclass

from harness.records.fields import Stored


@dataclass(frozen=True)
class FailedCell(Stored):
    key: str  # of the cell
    error: str = ""
    log: str | None = None  # path of the server's log
