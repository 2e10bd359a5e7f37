"""What is stored: one record a cell, written once, never changed. Everything after the store is a function of it.

    sweep.json      manifest.py: Manifest, with its Variants, Scenarios and Cells (cell.py, point.py)
    record.json     record.py: Record, with its Flags; `result` by the kind of its cell (result.py): accuracy and judge
                    accuracy_result.py, load load_result.py, gemm gemm_result.py
    rows.jsonl.gz   an item (item.py), a request (request.py) or a product (harness/gemm) each

store.py reads and writes them. What they cannot be follows from their types (stored_shape.py); record_check.py and
manifest_check.py hold what the types do not say. A field that is added to
a type is declared with `later` (fields.py): older stores load, and cells that do not use it keep their fingerprints.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.records.fields import Json
from harness.records.flag import Flag
from harness.records.result import Result

SCHEMA = 2  # 2: digests (see store.py); 1: none


@dataclass(frozen=True)
class Damage:
    """A stored file or cell that is not as it was written."""

    path: str  # within the results folder
    reason: str

    @property
    def left_out(self) -> bool:
        """Whether readers leave it out; of sweep.json and spent.jsonl they use what can be read."""
        return self.path.startswith(("cells/", "failures/"))

    def __str__(self) -> str:
        return f"{self.path} is damaged ({self.reason})"


@dataclass(frozen=True)
class Window:
    """When a server was at work for a cell, in seconds since `zero_s`: the rows' time zero, on CLOCK_MONOTONIC."""

    zero_s: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Outcome:
    """What measuring a cell gives."""

    result: Result
    rows: Iterable[Json]  # Item, TextWindow, Request or ProductRow, as they are stored; gone through once
    flags: list[Flag]
    window: Window | None = None  # None: from the cell's start to its end
