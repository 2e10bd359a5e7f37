"""How long the sweep's runs took, beside what was estimated before each began."""

from collections.abc import Sequence

from harness.analysis import Findings
from harness.console.progress import duration
from harness.records.phase import CHECKPOINT, ENVIRONMENT, REPORT, START, WARM_UP, PhaseTime
from harness.report.tables.table import Table, Td, table

FIRST = (ENVIRONMENT, CHECKPOINT, START, WARM_UP)


def time_table(findings: Findings) -> Table:
    """A row for each kind of phase. The report's own time is not in it: it is written after the report."""
    taken = [phase for phase in findings.study.phases if phase.kind != REPORT]
    kinds = [*FIRST, *dict.fromkeys(phase.kind for phase in taken if phase.kind not in FIRST)]
    rows = [_row(kind, found) for kind in kinds if (found := [phase for phase in taken if phase.kind == kind])]
    rows += [_row("all", taken)] if len(rows) > 1 else []
    note = "Of all runs of this sweep here, repeated cells included. Estimated: before the run, as its dry run says it."
    return table("Time", ["Phase", ">Count", ">Estimated", ">Measured", ">Estimated/measured"], rows, note)


def _row(name: str, taken: Sequence[PhaseTime]) -> list[Td]:
    estimated_s, seconds = sum(phase.estimated_s for phase in taken), sum(phase.seconds for phase in taken)
    ratio = f"{estimated_s / seconds:.2f}" if seconds else ""
    return [Td(name), Td(str(len(taken))), Td(duration(estimated_s)), Td(duration(seconds)), Td(ratio)]
