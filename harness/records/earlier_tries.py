"""Earlier measurements of cells that were measured again: kept as they were written, beside the one that counts."""

import contextlib
from pathlib import Path

from harness.records.cell_files import read_record
from harness.records.record import Record
from harness.records.stored_json import Damaged

EARLIER = ".earlier"  # beside the cells; folders named like theirs, from the second of a name on with .1, .2, ...


def read_earlier(cells: Path, fingerprint: str | None = None) -> list[Record]:
    """Return the stored records of earlier measurements by their start; those that are damaged are left out."""
    found = []
    for path in sorted((cells / EARLIER).glob(f"*--{fingerprint or ''}*")):
        with contextlib.suppress(Damaged, OSError):
            found.append(read_record(path))
    return sorted(found, key=lambda record: record.started_at)
