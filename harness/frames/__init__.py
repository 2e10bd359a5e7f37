"""A sweep's results as pandas DataFrames, for notebooks: `harness.load("results/NAME")`.

Shares and scores are 0..1, times of a metric milliseconds, times of a request seconds since the cell's start, rates
requests per second. What is not known is NaN.
"""

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.findings import Findings, analyse
from harness.analysis.load_study import load_study
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Measured
from harness.report import write_report
from harness.report.files.cells import cell_rows

if TYPE_CHECKING:
    import pandas as pd


class Frames:
    """The results of one sweep. Each frame is made when it is first asked for.

    cells       one row for each planned cell, as in cells.csv: key, kind, variant, suite, scenario, status, flags, ...
    items       one row for each answered item: variant, suite, repeat, id, group, score, response, ...
    requests    one row for each request: variant, scenario, point, repeat, intended_s, ttft_s, e2e_s, error, ...
    points      one row for each load cell: variant, scenario, point, repeat, valid, and every metric of the record
    recovery    one row for each variant and suite: score, recovery, its interval, p_holm, verdict
    """

    def __init__(self, results: str | Path):
        self.findings: Findings = analyse(load_study(Path(results)))

    @cached_property
    def cells(self) -> "pd.DataFrame":
        return _frame(cell_rows(self.findings))

    @cached_property
    def items(self) -> "pd.DataFrame":
        return _frame(
            {**_cell(measured), **item.to_json(), "score": item.scores.get(measured.scored.primary)}
            for measured in self._of("accuracy", "judge")
            if measured.scored.primary
            for item in measured.items()
        )

    @cached_property
    def requests(self) -> "pd.DataFrame":
        rows = []
        for measured in self._of("load"):
            for request in measured.requests():
                times = {"ttft_s": request.ttft_s, "e2e_s": request.e2e_s} if request.answered else {}
                rows.append({**_cell(measured), **asdict(request), **times})
        return _frame(rows)

    @cached_property
    def points(self) -> "pd.DataFrame":
        return _frame({**_cell(measured), "valid": measured.valid, **measured.metrics} for measured in self._of("load"))

    @cached_property
    def recovery(self) -> "pd.DataFrame":
        rows = []
        for (variant, suite), result in self.findings.suites.items():
            row = {"variant": variant, "suite": suite, "metric": result.metric, "items": result.items}
            row |= {"population": result.population, "valid": result.valid, **_estimate("score", result.score)}
            if compared := result.comparison:
                row |= _estimate("difference", compared.difference) | _estimate("recovery", compared.recovery)
                row |= {"lost": compared.lost, "gained": compared.gained, "p": compared.p, "p_holm": compared.p_holm}
                row |= {"verdict": compared.verdict}
            rows.append(row)
        return _frame(rows)

    def report(self, folder: str | Path) -> Path:
        """Write the report into `folder` and return the path of its index.html."""
        return write_report(self.findings.study, Path(folder), self.findings)

    def _of(self, *kinds: str) -> list[Measured]:
        return [measured for measured in self.findings.study.measured if measured.cell.kind in kinds]

    def __repr__(self) -> str:
        study = self.findings.study
        planned = len(study.measured) + len(study.missing) + len(study.failures)
        return f"<sweep {study.name}: {len(study.measured)} of {planned} cells, {len(study.variants)} variants>"


def _cell(measured: Measured) -> dict[str, Any]:
    cell = measured.cell
    place: dict[str, Any] = {"suite": cell.suite} if cell.suite else {"scenario": cell.scenario}
    if cell.point:
        place |= {"point": cell.point.label, "profile": cell.point.profile, "rate_rps": cell.point.rate_rps}
    return {"variant": cell.variant, **place, "repeat": cell.repeat}


def _estimate(name: str, found: Estimate | None) -> dict[str, float | None]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high} if found else {}


def _frame(rows: Any) -> "pd.DataFrame":
    import pandas as pd  # here: `import harness` stays light

    return pd.DataFrame(list(rows))
