"""summary.json: the findings for programs.

summary.schema.json, beside this file, is the form of summary.json; SCHEMA goes up when a key changes its meaning or
leaves. An estimate is {"value", "low", "high"}; what is not known is null. Shares are 0..1, times ms, rates 1/s.
"""

import json
from dataclasses import asdict
from typing import Any

from harness.analysis import Findings
from harness.analysis.decision.checks import check_results
from harness.analysis.scalars import scalars
from harness.analysis.speed.cutoffs import deployed
from harness.analysis.spending import spending
from harness.records.fields import Json
from harness.records.metrics import METRICS
from harness.report.files.summary_entries import (
    average_entry,
    capacity_entry,
    cutoff_entry,
    decision_entry,
    energy_entry,
    estimate_entry,
    fastest_entry,
    front_entry,
    gemm_entry,
    recommendation_entry,
    speedups_entry,
    suite_entry,
)
from harness.report.verdicts import verdicts

SCHEMA = 4


def summary_json(findings: Findings) -> str:
    return json.dumps(_rounded(summary(findings)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def summary(findings: Findings) -> Json:
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
            "host": study.host.to_json(),
        },
        "marks": [{"word": mark.word, "reason": mark.reason} for mark in findings.marks],
        "variants": {
            name: {
                "label": v.label,
                "scheme": {"weights": v.weights, "activations": v.activations, "sparsity": v.sparsity},
                "checkpoint": v.checkpoint,
                "checkpoint_bytes": v.checkpoint_bytes,
                "gpus": v.gpus,
                "deployment_of": v.deployment_of,
                "deployment": v.deployment,
                "accuracy_of": v.accuracy_of,
                "verdict": texts.get(name),
                "speedups": speedups_entry(findings.speedups.get(name)),
                "average_recovery": average_entry(findings, name),
                "metrics": scalars(findings, name),
            }
            for name, v in study.variants.items()
        },
        "checks": [asdict(result) for result in check_results(findings)],
        "left_out": [asdict(entry) for entry in study.left_out],
        "decision": decision_entry(study.decision),
        "recommendation": recommendation_entry(findings),
        "suites": [suite_entry(findings, result) for result in findings.suites.values()],
        "win_rates": [
            {
                "variant": rate.variant,
                "suite": rate.suite,
                "win_rate": estimate_entry(rate.win_rate),
                "not_shown": rate.reason,
                "reference": rate.reference,
                "items": rate.items,
                "judge": rate.judge.name,
                "judge_on_known_pairs": estimate_entry(rate.judge.accuracy),
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
                "concurrency": point.point.concurrency,
                "runs": len(point.runs),
                "valid": point.valid,
                "rate_reached": point.reached,
                "metrics": {m: point.value(m) for m in METRICS if point.value(m) is not None},
            }
            for points in findings.points.values()
            for point in points
        ],
        "capacities": [capacity_entry(findings, *key) for key in findings.capacities],
        "cutoffs": [cutoff_entry(found, *key) for found in findings.envelopes.values() for key in found.best],
        "envelopes": [
            fastest_entry(found, *key)
            for found in (findings.envelopes.values() if deployed(study) else ())
            for key in found.fastest
        ],
        "attribution": [
            {"start": rung.start, "end": rung.end, "adds": rung.adds, "speedups": speedups_entry(rung.speedups)}
            | {"recovery": estimate_entry(rung.recovery.recovery)}
            for rung in findings.rungs
        ],
        "price": asdict(study.settings.price) if study.settings.price else None,
        "energy": [energy_entry(found) for found in findings.energies],
        "costs": [
            {"variant": v, "scenario": s, "gpus": cost.gpus, "at_least": cost.at_least}
            | {"output_tokens_per_currency_unit": estimate_entry(cost.tokens_per_unit)}
            | {"per_million_output_tokens": estimate_entry(cost.per_million_output)}
            | {"per_million_tokens": estimate_entry(cost.per_million_total)}
            for (v, s), cost in findings.costs.items()
        ],
        "spending": [asdict(one) for one in spending(study)],
        "gemm": gemm_entry(findings),
        "published": [figure.to_json() for figure in study.published],
        "fronts": [front_entry(front) for front in findings.fronts],
        "flags": [
            {"code": g.code, "level": g.level, "messages": list(g.messages), "cells": list(g.cells)}
            for g in findings.flags
        ],
        "failures": [{"key": f.key, "error": f.error, "log": f.log} for f in study.failures],
        "missing": [cell.key for cell in study.missing],
    }


def _rounded(value: Any) -> Any:
    """Floats to nine significant digits; what is not finite to null, which JSON can carry."""
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if abs(value) < float("inf") else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
