"""A table of the report in a terminal."""

import sys

from harness.console.terminal import console
from harness.report.tables.table import Table
from harness.untrusted.visible import visible

COLOURS = {"good": "green", "bad": "bold red", "muted": "dim"}


def print_table(table: Table, summary: str = "") -> None:
    """Print on standard output, with `summary` beneath; colours only where it is a terminal."""
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(title=table.title, title_justify="left", title_style="bold")
    for name, right in table.heads:
        shown.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(visible(td.text), COLOURS.get(td.tone, "")) for td in row))
    shown_on = console(width=None if sys.stdout.isatty() else 140)
    shown_on.print()
    shown_on.print(shown)
    if summary:
        shown_on.print(summary, style="bold", markup=False, highlight=False)
