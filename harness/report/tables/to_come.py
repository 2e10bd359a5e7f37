"""The table of what a sweep that still runs has to measure."""

from harness.analysis import Findings
from harness.console.progress import duration
from harness.report.tables.table import Table, table


def to_come_table(findings: Findings) -> Table:
    coming = findings.study.to_come
    if coming is None:
        return table("Still to come", ["Session"], [])
    rows = [[session.name, session.cells, duration(session.seconds)] for session in coming.sessions]
    if len(rows) > 1:
        rows.append(["all", coming.cells, duration(coming.seconds)])
    note = f"Estimated at {coming.at}. While the sweep runs, it writes this report again after its next session."
    return table("Still to come", ["Session", ">Cells", ">Estimated time"], rows, note)
