"""What changes from A to B at each load point that both sides were sent in the same way."""

from dataclasses import dataclass

from harness.analysis.findings import Findings
from harness.analysis.speed.performance import PointResult, mean_ratio
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study
from harness.records.cell import Cell
from harness.records.metrics import SHOWN_LATENCIES, spread

A, B = "A", "B"  # the variants of a pair
COMPARED = (*spread(SHOWN_LATENCIES), "output_tok_per_s")


@dataclass(frozen=True)
class Change:
    """One metric at one load point. `ratio`: B / A; None where there is none, and `reason` says why.

    `lost`: A has the number and B, which planned the cell, has no valid one. A gate must not pass over that.
    """

    scenario: str
    load: str
    metric: str
    a: float | None
    b: float | None
    ratio: Estimate | None
    reason: str | None = None
    lost: bool = False


def load_changes(findings: Findings, scenario: str, notes: list[str]) -> list[Change]:
    """Return the changes in one scenario; what is not compared goes to `notes`."""
    study = findings.study
    points = {word: {p.point.load: p for p in findings.points[word, scenario]} for word in (A, B)}
    broken = {c.point.load for c in _not_there(study, B) if c.scenario == scenario and c.point}
    found = []
    for key, shown in (points[A] | {key: p for key, p in points[B].items() if key not in points[A]}).items():
        one, two = points[A].get(key), points[B].get(key)
        if shown.profile == "capacity":
            continue
        load = shown.point.label
        reason, lost = _why_not(one, two, key in broken)
        if reason:
            notes.append(f"{scenario}, {load}: {reason}")
        for metric in COMPARED:
            a, b = (p.value(metric) if p else None for p in (one, two))
            if one is None or two is None or reason or not a or not b:
                why = reason or "no value"
                found.append(Change(scenario, load, metric, a, b, None, why, lost and bool(a)))
            else:
                found.append(Change(scenario, load, metric, a, b, mean_ratio([two], [one], metric)))
    return found


def _not_there(study: Study, word: str) -> list[Cell]:
    cells = [*study.missing, *(f.cell for f in study.failures if f.cell)]
    return [cell for cell in cells if cell.variant == word]


def _why_not(a: PointResult | None, b: PointResult | None, b_planned: bool) -> tuple[str | None, bool]:
    """(why the point is not compared, whether it is B that fails where A does not)."""
    if a is None:
        return "only in B", False
    if not a.valid:
        return f"invalid in A ({_flags(a)})", False
    if not a.reached:
        return f"A served {a.served_rps or 0:.2f}/s of the {a.rate_rps:g}/s offered", False
    if b is None:
        return ("failed or missing in B", True) if b_planned else ("only in A", False)
    if not b.valid:
        return f"invalid in B ({_flags(b)})", True
    if not b.reached:
        return f"B served {b.served_rps or 0:.2f}/s of the {b.rate_rps:g}/s offered, which A kept up with", True
    return None, False


def _flags(point: PointResult) -> str:
    return ", ".join(sorted({f.code for run in point.runs for f in run.flags if f.invalid}))
