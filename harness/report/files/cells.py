"""cells.csv: one line a planned cell, measured or not."""

import csv
import io
from collections.abc import Iterator

from harness.analysis import Findings
from harness.records.accuracy_result import AccuracyResult
from harness.records.cell import Cell
from harness.records.metrics import METRICS

ENERGY = ("energy_j", "energy_j_per_output_token", "energy_j_per_token")  # of the cell's GPUs; empty without NVML


HEAD = (
    *("key", "kind", "variant", "suite", "scenario", "profile", "rate_rps", "repeat", "status", "flags"),
    *("metric", "score", "items", *METRICS, "requests_completed", "requests_failed", *ENERGY),
    *("duration_s", "started_at"),
)


def cells_csv(findings: Findings) -> str:
    output = io.StringIO()
    writer = csv.DictWriter(output, HEAD, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_inert, cell_rows(findings)))
    return output.getvalue()


def cell_rows(findings: Findings) -> Iterator[dict[str, object]]:
    """Return a row for each planned cell: the columns of HEAD that are known of it."""
    study = findings.study
    for measured in study.measured:
        row = _identity(measured.cell) | {"status": "measured" if measured.valid else "invalid"}
        row |= {"flags": " ".join(sorted({flag.code for flag in measured.flags}))}
        row |= _score(measured.scored)
        row |= {name: measured.metrics.get(name) for name in (*METRICS, "requests_completed", "requests_failed")}
        row |= {name: getattr(measured.telemetry, name) for name in ENERGY}
        yield row | {"duration_s": measured.duration_s, "started_at": measured.started_at}
    for failure in study.failures:
        identity: dict[str, object] = _identity(failure.cell) if failure.cell else {"key": failure.key}
        yield identity | {"status": "failed"}
    for cell in study.missing:
        yield _identity(cell) | {"status": "missing"}


def _score(result: AccuracyResult) -> dict[str, object]:
    found = result.scores.get(result.primary)
    return {"metric": result.primary or None} | ({"score": found.value, "items": found.n} if found else {})


def _identity(cell: Cell) -> dict[str, object]:
    point = cell.point
    place = {"profile": point.profile, "rate_rps": point.rate_rps} if point else {}
    names = {name: getattr(cell, name) for name in ("key", "kind", "variant", "suite", "scenario", "repeat")}
    return names | place


def _inert(row: dict[str, object]) -> dict[str, object]:
    """Text that a spreadsheet would take for a formula gets a quote in front."""
    return {
        key: f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
        for key, value in row.items()
    }
