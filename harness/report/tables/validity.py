"""Tables of what limits the numbers: flags, failures and damage."""

from harness.analysis import Findings
from harness.report.flag_catalogue import remedies
from harness.report.tables.table import Table, Td, table
from harness.report.words import NONE

CELLS_SHOWN = 8
LEVEL_TONES = {"invalid": "bad", "caution": "warn", "note": "muted"}


def flags_table(findings: Findings) -> Table:
    rows = []
    for group in findings.flags:
        cells = ", ".join(group.cells[:CELLS_SHOWN])
        if len(group.cells) > CELLS_SHOWN:
            cells += f" and {len(group.cells) - CELLS_SHOWN} more"
        messages = "; ".join(group.messages[:CELLS_SHOWN])
        level = Td(group.level, LEVEL_TONES.get(group.level, ""))
        rows.append([level, Td(group.code, "code"), messages, len(group.cells), Td(cells, "small")])
    return table("Flags", ["Level", "Flag", "What it says", ">Cells", "Where"], rows)


def invalid_table(findings: Findings) -> Table:
    """The cells that are measured and not compared: what made each invalid, and what to do."""
    rows = []
    for measured in findings.study.measured:
        if flags := [flag for flag in measured.flags if flag.invalid]:
            why = "; ".join(flag.message for flag in flags)
            rows.append([measured.cell.title, Td(why, "bad"), "; ".join(remedies(flags))])
    note = "Not compared with anything. The sweep's command measures invalid load cells again, and nothing else."
    return table("Invalid cells", ["Cell", "What made it invalid", "What to do"], rows, note)


def failures_table(findings: Findings) -> Table:
    rows = [
        [failure.cell.title if failure.cell else failure.key, Td(failure.error, "bad"), Td(failure.log or NONE, "code")]
        for failure in findings.study.failures
    ]
    return table("Failed cells", ["Cell", "Error", "Log"], rows)


def damage_table(findings: Findings) -> Table:
    rows = [[Td(damage.path, "code"), Td(damage.reason, "bad")] for damage in findings.study.damaged]
    return table("Damaged files", ["File or cell", "What is wrong"], rows)
