"""Tables as data: the HTML page, the release notes and the CSV print the same ones."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study


@dataclass(frozen=True)
class Td:
    """A table cell. `tone`: best | good | bad | warn | muted | "". `variant`: shows that variant's marker before it."""

    text: str
    tone: str = ""
    note: str = ""  # small print beneath
    variant: str | None = None


@dataclass(frozen=True)
class Table:
    """`columns`: names; one that starts with ``>`` is right-aligned. `group`: the column by which rows form blocks."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Td, ...], ...]
    note: str = ""
    group: int | None = None

    def opens_block(self, row: int) -> bool:
        """True for the first row of a block."""
        if self.group is None:
            return False
        return row == 0 or self.rows[row][self.group].text != self.rows[row - 1][self.group].text

    def shown(self, row: tuple) -> list:
        """A row, or the heads, without the column that is above its block on the page."""
        return [item for column, item in enumerate(row) if column != self.group]

    @property
    def heads_shown(self) -> list[tuple[str, bool]]:
        return self.shown(tuple(self.heads))

    @property
    def mostly_right(self) -> bool:
        """Most shown columns are right-aligned: the page then names the others, which keeps it small."""
        return 2 * sum(right for _, right in self.heads_shown) > len(self.heads_shown)

    @property
    def heads(self) -> list[tuple[str, bool]]:
        """(name, right-aligned) of every column."""
        return [(name.lstrip(">"), name.startswith(">")) for name in self.columns]


def table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable], note: str = "", group: int | None = None
) -> Table:
    """A Table from rows of Td, or of anything else as its text."""
    cells = tuple(tuple(cell if isinstance(cell, Td) else Td(str(cell)) for cell in row) for row in rows)
    return Table(title, tuple(columns), cells, note, group)


def name_of(study: Study, variant: str, note: str = "") -> Td:
    return Td(study.label(variant), variant=variant, note=note)


def times_label(study: Study, count: int, variant: str) -> str:
    """``2 × FP8, TP 2``: so many of a deployment, which fill the GPUs."""
    return f"{count} × {study.label(variant)}" if count > 1 else study.label(variant)


def best(estimates: dict[str, Estimate | None]) -> str | None:
    """The name whose whole interval is above every other's value and interval; None when no one is that clear."""
    known = {name: e for name, e in estimates.items() if e is not None}
    if len(known) < 2:
        return None
    top = max(known, key=lambda name: known[name].value)
    rest = [max(e.value, e.high or e.value) for name, e in known.items() if name != top]
    low = known[top].low
    return top if low is not None and low > max(rest) else None
