"""summary.json and cells.csv: the same findings for programs.

summary.json, schema 1: `study`, `marks`, `variants` (each with `verdict`, `average_recovery` and `metrics`, the flat
scalars that MLflow gets), `suites`, `win_rates`, `load_points`, `capacities`, `fronts`, `flags`, `failures`, `missing`.
An estimate is {"value", "low", "high"}; what is not known is null. Shares are 0..1, times ms, rates 1/s.
cells.csv: one line a planned cell, measured or not.
"""

import csv
import io
import json
from typing import Any

from harness.analysis import Findings
from harness.analysis.intervals import Estimate
from harness.analysis.performance import METRICS
from harness.analysis.scalars import scalars
from harness.analysis.study import Cell
from harness.report.words import verdicts

SCHEMA = 1


def summary_json(findings: Findings) -> str:
    return json.dumps(_rounded(summary(findings)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def summary(findings: Findings) -> dict[str, Any]:
    study, texts = findings.study, {v.variant: v.text for v in verdicts(findings)}
    return {
        "schema": SCHEMA,
        "study": {
            "name": study.name,
            "description": study.description,
            "baseline": study.baseline,
            "margin": study.margin,
            "seed": study.seed,
            "data": study.data,
            "command": study.command,
            "harness": study.harness,
            "host": study.host,
        },
        "marks": [{"word": mark.word, "reason": mark.reason} for mark in findings.marks],
        "variants": {
            name: {
                "label": v.label,
                "scheme": {"weights": v.weights, "activations": v.activations, "sparsity": v.sparsity},
                "checkpoint": v.checkpoint,
                "checkpoint_bytes": v.checkpoint_bytes,
                "verdict": texts.get(name),
                "average_recovery": _average(findings, name),
                "metrics": scalars(findings, name),
            }
            for name, v in study.variants.items()
        },
        "suites": [_suite(result) for result in findings.suites.values()],
        "win_rates": [
            {
                "variant": rate.variant,
                "suite": rate.suite,
                "win_rate": _estimate(rate.win_rate),
                "not_shown": rate.reason,
                "reference": rate.reference,
                "items": rate.items,
                "judge": rate.judge.name,
                "judge_on_known_pairs": _estimate(rate.judge.accuracy),
                "parse_rate": rate.judge.parse_rate,
                "length_difference": rate.length_difference,
            }
            for rate in findings.win_rates.values()
        ],
        "load_points": [
            {
                "variant": point.variant,
                "scenario": point.scenario,
                "profile": point.profile,
                "rate_rps": point.rate_rps,
                "concurrency": point.concurrency,
                "runs": len(point.runs),
                "valid": point.valid,
                "rate_reached": point.reached,
                "metrics": {m: point.value(m) for m in METRICS if point.value(m) is not None},
            }
            for points in findings.points.values()
            for point in points
        ],
        "capacities": [
            {"variant": v, "scenario": s, "slo": study.scenarios[s].slo}
            | {"rate_rps": reading.value, "status": reading.status, "note": reading.note}
            for (v, s), reading in findings.capacities.items()
        ],
        "fronts": [
            {
                "name": front.name,
                "points": {n: {"gain": _estimate(x), "recovery": _estimate(y)} for n, (x, y) in front.points.items()},
                "front": list(front.front),
                "dominated": front.dominated,
                "absent": front.absent,
            }
            for front in findings.fronts
        ],
        "flags": [
            {"code": g.code, "level": g.level, "messages": list(g.messages), "cells": list(g.cells)}
            for g in findings.flags
        ],
        "failures": [{"key": f.key, "error": f.error, "log": f.log} for f in study.failures],
        "missing": [cell.key for cell in study.missing],
    }


def _average(findings: Findings, name: str) -> dict[str, Any] | None:
    if (average := findings.averages.get(name)) is None:
        return None
    estimate = _estimate(average.recovery)
    return {"recovery": estimate, "suites": list(average.suites), "verdict": average.verdict, "reason": average.reason}


def _suite(result) -> dict[str, Any]:
    c = result.comparison
    return {
        "variant": result.variant,
        "suite": result.suite,
        "metric": result.metric,
        "score": _estimate(result.score),
        "other_scores": result.other_scores,
        "items": result.items,
        "population": result.population,
        "partial": result.partial,
        "source": result.source,
        "counts": result.counts,
        "valid": result.valid,
        "not_compared": result.not_compared,
        "comparison": c
        and {
            "difference": _estimate(c.difference),
            "recovery": _estimate(c.recovery),
            "lost": c.lost,
            "gained": c.gained,
            "mcnemar_p": c.p,
            "non_inferior": c.verdict,
            "noise": _estimate(c.noise),
        },
    }


def _estimate(estimate: Estimate | None) -> dict[str, float | None] | None:
    return None if estimate is None else {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _rounded(value: Any) -> Any:
    """Floats to nine significant digits; what is not finite to null, which JSON can carry."""
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if abs(value) < float("inf") else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def cells_csv(findings: Findings) -> str:
    study, output = findings.study, io.StringIO()
    head = ["key", "kind", "variant", "suite", "scenario", "profile", "rate_rps", "repeat", "status", "flags"]
    head += ["metric", "score", "items", *METRICS, "requests_completed", "requests_failed", "duration_s", "started_at"]
    writer = csv.DictWriter(output, head, restval="", lineterminator="\n")
    writer.writeheader()
    for measured in study.measured:
        result = measured.result
        primary = result.get("primary")
        score = (result.get("scores") or {}).get(primary) or {}
        row = _identity(measured.cell) | {"status": "measured" if measured.valid else "invalid"}
        row |= {"flags": " ".join(sorted({flag["code"] for flag in measured.flags}))}
        row |= {"metric": primary, "score": score.get("value"), "items": score.get("n")}
        row |= {name: result.get(name) for name in (*METRICS, "requests_completed", "requests_failed")}
        writer.writerow(_inert(row | {"duration_s": measured.duration_s, "started_at": measured.started_at}))
    for failure in study.failures:
        writer.writerow(
            _inert((_identity(failure.cell) if failure.cell else {"key": failure.key}) | {"status": "failed"})
        )
    for cell in study.missing:
        writer.writerow(_inert(_identity(cell) | {"status": "missing"}))
    return output.getvalue()


def _identity(cell: Cell) -> dict[str, Any]:
    point = cell.point
    place = {"profile": point.profile, "rate_rps": point.rate_rps} if point else {}
    names = {name: getattr(cell, name) for name in ("key", "kind", "variant", "suite", "scenario", "repeat")}
    return names | place


def _inert(row: dict[str, Any]) -> dict[str, Any]:
    """Text that a spreadsheet would take for a formula gets a quote in front."""
    return {
        key: f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
        for key, value in row.items()
    }
