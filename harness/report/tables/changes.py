"""The first table of a comparison: a row a variant, its headline numbers as B against A."""

from collections.abc import Sequence

from harness.analysis.comparison import Comparison
from harness.analysis.decision.gates import NOTE, Check
from harness.report.regression import Compared, headlines
from harness.report.tables.table import Table, Td, table
from harness.report.words import NONE

COLUMNS = ("accuracy", "single-stream speed", "throughput", "requests at the SLO")


def changes_table(compared: Compared, strict: bool = False) -> Table:
    """Ratios B / A, above 1 is better; empty where there are none."""
    gated, rows = any(checks for _, checks in compared), []
    shown = [name for name in COLUMNS if any(h.name == name for c, _ in compared for h in headlines(c))]
    for comparison, checks in compared:
        found = {h.name: h for h in headlines(comparison)}
        cells = [_cell(found[name].shown, found[name].tone) if name in found else Td(NONE, "muted") for name in shown]
        rows.append([pair_name(comparison), *cells, *([_failed(checks, strict)] if gated else [])])
    heads = ["Variant", *(f">{name[0].upper()}{name[1:]}" for name in shown)]
    return table(
        "B relative to A: above 1 is better",
        [*heads, *([">Checks failed"] if gated else [])],
        rows if shown or gated else [],
    )


def _cell(shown: str, tone: str) -> Td:
    value, bracket, interval = shown.partition(" [")
    return Td(value, tone, f"[{interval}" if bracket else "")


def pair_name(comparison: Comparison) -> str:
    """The label of both sides, or of B against A's."""
    a, b = (side.study.label(side.variant) for side in (comparison.a, comparison.b))
    return b if a == b else f"{b} against {a}"


def _failed(checks: Sequence[Check], strict: bool) -> Td:
    counted = [check for check in checks if check.status != NOTE]
    failed = sum(check.failed(strict) for check in counted)
    return Td(f"{failed} of {len(counted)}", "bad" if failed else "good")
