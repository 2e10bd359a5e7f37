"""Which cells are still to be measured: those without a record, and those whose record is invalid by chance.

A load cell is invalid where the client, the clock or failed requests spoiled it; measured again, it may be valid. A
suite at temperature 0 or a wrong product would be as invalid the next time: such a cell keeps its record.
"""

from collections import Counter
from collections.abc import Iterable

from harness.records.cell import PlannedCell
from harness.records.flag import Flag
from harness.records.results import Results
from harness.sweeps.kinds import KINDS


def to_measure(cells: Iterable[PlannedCell], store: Results) -> list[PlannedCell]:
    return [cell for cell in cells if cell.fingerprint not in store or retried(cell, store)]


def retried(cell: PlannedCell, store: Results) -> tuple[Flag, ...]:
    """Return the flags that make its record invalid, where measuring it again may help; empty for any other cell."""
    if cell.fingerprint not in store or not KINDS[cell.kind].varies:
        return ()
    return store.record(cell.fingerprint).invalid


def retried_words(cells: Iterable[PlannedCell], store: Results) -> list[str]:
    """Return a line like `3 cells are invalid and are measured again: client_cpu 2, errors 1`."""
    found = [flags for cell in cells if (flags := retried(cell, store))]
    if not found:
        return []
    codes = Counter(code for flags in found for code in {flag.code for flag in flags})
    count = "1 cell is invalid and is" if len(found) == 1 else f"{len(found)} cells are invalid and are"
    return [f"{count} measured again: {', '.join(f'{code} {number}' for code, number in sorted(codes.items()))}"]


def earlier_note(cell: PlannedCell, store: Results) -> list[Flag]:
    """Return the note that a cell's record carries when earlier tries of it were invalid."""
    tries = [record.invalid for record in store.earlier_tries(cell.fingerprint) if record.invalid]
    tries += [flags] if (flags := retried(cell, store)) else []
    if not tries:
        return []
    codes = ", ".join(dict.fromkeys(flag.code for flags in tries for flag in flags))
    count = "1 earlier try was" if len(tries) == 1 else f"{len(tries)} earlier tries were"
    return [Flag("measured_again", "note", f"{count} invalid ({codes}) and kept in cells/.earlier")]
