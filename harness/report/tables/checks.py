"""Tables of a sweep's checks, and of what it left out because the machine does not support it."""

from collections import Counter

from harness.analysis import Findings
from harness.analysis.decision.checks import FAIL, NOT_CHECKED, PASS, UNSUPPORTED, CheckResult, check_results, device
from harness.report.tables.table import Table, Td, table

TONES = {PASS: "good", FAIL: "bad", UNSUPPORTED: "muted", NOT_CHECKED: "muted"}


def checks_table(findings: Findings) -> Table:
    rows = [
        [result.check, result.label, Td(words(findings, result.status), TONES[result.status]), result.evidence]
        for result in check_results(findings)
    ]
    return table("Checks", ["Check", "Variant", "Result", "Evidence"], rows)


def left_out_table(findings: Findings) -> Table:
    rows = [
        [entry.label, "the variant" if entry.part == "variant" else "its GEMM products", entry.reason]
        for entry in findings.study.left_out
    ]
    return table("Not supported on this machine", ["Variant", "Left out", "Reason"], rows)


def words(findings: Findings, status: str) -> str:
    """PASS, FAIL, NOT ON THIS GPU (or CPU), NOT CHECKED."""
    return f"NOT ON THIS {device(findings)}" if status == UNSUPPORTED else status.upper().replace("_", " ")


def checks_summary(findings: Findings, results: tuple[CheckResult, ...]) -> str:
    """``checks: 17 PASS, 1 FAIL, 3 NOT ON THIS GPU``"""
    counts = Counter(result.status for result in results)
    told = (f"{counts[status]} {words(findings, status)}" for status in TONES if counts[status] or status == FAIL)
    return f"checks: {', '.join(told)}"
