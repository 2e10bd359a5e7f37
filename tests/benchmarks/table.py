"""Rows of figures as a Markdown table: the median over the repeats, and from least to most."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """`values`: of each client, one figure a repeat; a client that gave none is left out."""

    figure: str
    unit: str
    reach: str
    values: dict[str, list[float]]
    ok: bool | None = None  # None: there is no reach
    note: str = ""

    @property
    def medians(self) -> dict[str, float]:
        return {name: median(values) for name, values in self.values.items() if values}


def markdown(rows: Sequence[Row], titles: dict[str, str]) -> str:
    head = ["figure", "reach", *titles.values(), "verdict"]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        cells = [_cell(row.values.get(name, []), row.unit) for name in titles]
        verdict = {None: "", True: "pass", False: "**fail**"}[row.ok]
        lines.append(_line([row.figure, row.reach, *cells, verdict]))
    notes = [f"- {row.figure}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, "", *notes])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(values: list[float], unit: str) -> str:
    if not values:
        return ""
    spread = f" ({number(min(values))} to {number(max(values))})" if len(values) > 1 else ""
    return f"{number(median(values))} {unit}".rstrip() + spread


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
