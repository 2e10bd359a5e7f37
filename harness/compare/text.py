"""A comparison as text: for a terminal, a CI log, a pipe. Nothing from a store can move the cursor."""

from harness.compare.outcome import Outcome, Pair
from harness.report.largest_change import largest_change
from harness.report.regression import regression
from harness.report.tables import comparison as tables
from harness.report.tables.changes import changes_table
from harness.report.tables.gates import gates_table
from harness.report.tables.table import Table, Td
from harness.report.verdicts import remarks, verdicts
from harness.untrusted.visible import visible

COLOURS = {"good": "\033[32m", "bad": "\033[31m", "warn": "\033[33m"}
WIDEST = 64  # of a column that is not the last; longer facts are cut, the page and the JSON have the whole


def comparison_text(pair: Pair, outcome: Outcome, colour: bool) -> str:
    comparison = pair.comparison
    said = [f"A  {started(comparison.a.place, pair.references)}\nB  {started(comparison.b.place, pair.candidates)}"]
    said += [f"{mark.word}: {mark.reason}" for mark in comparison.findings.marks]
    parts = [plain(text) for text in said]
    if comparison.differences:
        parts.append(table_text(tables.differences_table(comparison), colour))
    else:
        parts.append("Nothing that was recorded differs between A and B.")
    if comparison.serves:
        verdict_of = verdicts(comparison.findings)
        parts.append(plain("\n".join([*(verdict.bare for verdict in verdict_of), *remarks(verdict_of)])))
    shown = [tables.accuracy_table(comparison), tables.load_table(comparison), tables.capacity_table(comparison)]
    shown.append(tables.products_table(comparison))
    parts += [table_text(t, colour, notes=t.title != "Load points") for t in shown if t.rows]
    if comparison.not_compared:
        parts.append(plain("Not compared\n" + "\n".join(f"  {reason}" for reason in comparison.not_compared)))
    if pair.checks:
        parts.append(table_text(gates_table(pair.checks, outcome.strict, outcome.regression), colour))
    return "\n\n".join(parts) + "\n"


def conclusion_text(outcome: Outcome, colour: bool) -> str:
    """What comes first: whether B regresses, by how much, from how many measurements."""
    said, changes = regression(outcome.compared, outcome.strict), changes_table(outcome.compared, outcome.strict)
    said = "\n".join(filter(None, (said, largest_change(outcome.compared))))
    parts = [plain(said), *([table_text(changes, colour)] if changes.rows else [])]
    return "".join(f"{part}\n\n" for part in parts if part)


def started(place: str, places: tuple[str, ...]) -> str:
    """``results/night_5:bf16``, and of how many starts it is one."""
    others = [other for other in places if other != place]
    return f"{place} (and its {len(others)} other starts: {', '.join(others)})" if others else place


def table_text(table: Table, colour: bool = False, notes: bool = True) -> str:
    """Aligned columns; `notes`: with the small print in parentheses."""
    rows = [[_text(td, notes, cut=i < len(row) - 1) for i, td in enumerate(row)] for row in table.rows]
    heads = [name for name, _ in table.heads]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = [table.title, _line(heads, widths, table)]
    for row, tds in zip(rows, table.rows, strict=True):
        codes = [COLOURS.get(td.tone) if colour else None for td in tds]
        lines.append(_line(row, widths, table, codes))
    return "\n".join(lines + ([table.note] if table.note else []))


def _line(cells: list[str], widths: list[int], table: Table, codes: list[str | None] | None = None) -> str:
    parts = []
    for position, (cell, width, (_, right)) in enumerate(zip(cells, widths, table.heads, strict=True)):
        text = cell.rjust(width) if right else cell.ljust(width)
        code = codes[position] if codes else None
        parts.append(f"{code}{text}\033[0m" if code else text)
    return ("  " + "  ".join(parts)).rstrip()


def _text(td: Td, notes: bool, cut: bool) -> str:
    text = plain(f"{td.text} ({td.note})" if notes and td.note else td.text).replace("\n", " ")
    return text if len(text) <= WIDEST or not cut else f"{text[: WIDEST - 1]}…"


def plain(text: str) -> str:
    """Control characters made visible: names and messages come from stores, models and servers."""
    return visible(text)
