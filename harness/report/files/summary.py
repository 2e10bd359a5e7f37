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
from harness.analysis.speed.capacity import estimate
from harness.analysis.speed.cutoffs import Envelope, deployed
from harness.analysis.speed.energy import Energy
from harness.analysis.speed.speedups import Speedups
from harness.analysis.spending import spending
from harness.analysis.statistics.intervals import Estimate
from harness.records.metrics import METRICS
from harness.report.recommendation import recommendation
from harness.report.words import verdicts

SCHEMA = 2


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
                "gpus": v.gpus,
                "deployment_of": v.deployment_of,
                "deployment": v.deployment,
                "accuracy_of": v.accuracy_of,
                "verdict": texts.get(name),
                "speedups": _speedups(findings.speedups.get(name)),
                "average_recovery": _average(findings, name),
                "metrics": scalars(findings, name),
            }
            for name, v in study.variants.items()
        },
        "checks": [asdict(result) for result in check_results(findings)],
        "left_out": [asdict(entry) for entry in study.left_out],
        "recommendation": _recommendation(findings),
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
                "concurrency": point.point.concurrency,
                "runs": len(point.runs),
                "valid": point.valid,
                "rate_reached": point.reached,
                "metrics": {m: point.value(m) for m in METRICS if point.value(m) is not None},
            }
            for points in findings.points.values()
            for point in points
        ],
        "capacities": [_capacity(findings, *key) for key in findings.capacities],
        "cutoffs": [_cutoff(found, *key) for found in findings.envelopes.values() for key in found.best],
        "envelopes": [
            _fastest(found, *key)
            for found in (findings.envelopes.values() if deployed(study) else ())
            for key in found.fastest
        ],
        "attribution": [
            {"start": rung.start, "end": rung.end, "adds": rung.adds, "speedups": _speedups(rung.speedups)}
            | {"recovery": _estimate(rung.recovery.recovery)}
            for rung in findings.rungs
        ],
        "price": asdict(study.settings.price) if study.settings.price else None,
        "energy": [_energy(found) for found in findings.energies],
        "costs": [
            {"variant": v, "scenario": s, "gpus": cost.gpus, "at_least": cost.at_least}
            | {"output_tokens_per_currency_unit": _estimate(cost.tokens_per_unit)}
            | {"per_million_output_tokens": _estimate(cost.per_million_output)}
            | {"per_million_tokens": _estimate(cost.per_million_total)}
            for (v, s), cost in findings.costs.items()
        ],
        "spending": [asdict(one) for one in spending(study)],
        "gemm": _gemm(findings),
        "published": list(study.published),
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


def _recommendation(findings: Findings) -> dict[str, Any] | None:
    if (found := findings.recommendation) is None:
        return None
    return {
        "text": recommendation(findings),
        "ship": list(found.ship),
        "safe": list(found.safe),
        "suites": list(found.suites),
        "measure": found.measure,
        "gains": {name: _estimate(gain) for name, gain in found.gains.items()},
        "ruled_out": found.ruled_out,
    }


def _gemm(findings: Findings) -> list[dict[str, Any]]:
    """A layer's products together, by variant and batch size."""
    return [
        {"variant": name, "batch_size": batch, "seconds": w.seconds, "flops": w.flops, "bytes": w.bytes}
        | {"speedup": _estimate(w.speedup), "of_vendor": w.of_vendor, "of_roofline": w.of_roof, "valid": w.valid}
        for name, wholes in (findings.gemm.wholes if findings.gemm else {}).items()
        for batch, w in wholes.items()
    ]


def _average(findings: Findings, name: str) -> dict[str, Any] | None:
    if name not in findings.study.forms:
        return None
    average = findings.averages[name]
    estimate = _estimate(average.recovery)
    return {"recovery": estimate, "suites": list(average.suites), "verdict": average.verdict, "reason": average.reason}


def _speedups(found: Speedups | None) -> dict[str, Any] | None:
    return found and {
        "latency": _estimate(found.latency),
        "throughput": _estimate(found.throughput),
        "capacity": _estimate(found.capacity),
        "capacity_scenarios": list(found.capacity_scenarios),
    }


def _capacity(findings: Findings, variant: str, scenario: str) -> dict[str, Any]:
    reading, gain = findings.capacities[variant, scenario], findings.gains.get((variant, scenario))
    return {
        "variant": variant,
        "scenario": scenario,
        "slo": findings.study.scenarios[scenario].slo,
        "rate_rps": reading.value,
        "interval": _estimate(estimate(reading)),
        "status": reading.status,
        "note": reading.note,
        "gain": _estimate(gain.estimate) if gain else None,
        "gain_is_lower_bound": gain.at_least if gain else None,
    }


def _cutoff(envelope: Envelope, family: str, limit: float) -> dict[str, Any]:
    best = envelope.best[family, limit]
    return {
        "scenario": envelope.scenario,
        "metric": envelope.metric,
        "limit_ms": limit,
        "variant": family,
        "gpus": envelope.gpus,
        "deployment": best.deployment,
        "replicas": best.replicas,
        "rate_rps": best.rate.value,
        "rate_rps_per_gpu": None if best.rate.value is None else best.rate.value / envelope.gpus,
        "status": best.rate.status,
        "note": best.rate.note,
    }


def _fastest(envelope: Envelope, family: str, rate_rps: float) -> dict[str, Any]:
    found = envelope.fastest[family, rate_rps]
    return {
        "scenario": envelope.scenario,
        "metric": envelope.metric,
        "rate_rps": rate_rps,
        "rate_rps_per_gpu": rate_rps / envelope.gpus,
        "variant": family,
        "gpus": envelope.gpus,
        "deployment": found.deployment,
        "replicas": found.replicas,
        "latency_ms": found.latency.value,
        "status": found.latency.status,
        "not_measured": list(found.unread),
    }


def _energy(found: Energy) -> dict[str, Any]:
    point, numbers = found.point, {**vars(found)}
    for left_out in ("point", "sources", "gain"):
        numbers.pop(left_out)
    return {
        "variant": point.variant,
        "scenario": point.scenario,
        "profile": point.profile,
        "rate_rps": point.rate_rps,
        "concurrency": point.point.concurrency,
        "valid": point.valid,
        **numbers,
        "output_tokens_per_j": found.output_tokens_per_j,
        "energy_from": list(found.sources),
        "output_tokens_per_j_gain": _estimate(found.gain),
    }


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
        "counts": result.counts.to_json(),
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
            "items_to_show": c.items_to_show,
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
