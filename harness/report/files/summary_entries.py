"""Entries of summary.json: one object each, of estimates, capacities, suites and the rest of the findings."""

from dataclasses import asdict

from harness.analysis import Findings
from harness.analysis.decision.criteria import Candidate
from harness.analysis.decision.pareto import RECOVERY, Front
from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.quality.paired import MCNEMAR
from harness.analysis.settings import DecisionSettings
from harness.analysis.speed.capacity import estimate
from harness.analysis.speed.cutoffs import Envelope
from harness.analysis.speed.energy import Energy
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from harness.records.fields import Json
from harness.report.recommendation import conclusion


def recommendation_entry(findings: Findings) -> Json | None:
    if (found := findings.recommendation) is None:
        return None
    said = conclusion(findings)
    return {
        "text": said.text if said else None,
        "outcome": found.outcome,
        "ship": list(found.ship),
        "promising": found.promising,
        "acceptable": list(found.acceptable),
        "suites": list(found.suites),
        "objective": found.objective,
        "headline": said.headline if said else None,
        "evidence": list(said.evidence) if said else [],
        "command": said.command if said else None,
        "candidates": {name: _candidate_entry(one) for name, one in found.candidates.items()},
        "gains": {
            objective: {
                name: {"gain": estimate_entry(gain.estimate), "established": gain.established}
                | {"p": gain.p, "p_holm": gain.p_holm, "within_search": gain.within_search}
                for name, gain in known.items()
            }
            for objective, known in found.gains.items()
        },
        "needs": [
            {"suite": need.subject or None, "unit": need.unit, "measured": need.measured, "needed": need.needed}
            | {"population": need.population, "setting": need.setting, "blocked": need.why}
            for need in found.needs
        ],
    }


def _candidate_entry(candidate: Candidate) -> Json:
    return {
        "status": candidate.status,
        "p": candidate.p,
        "p_holm": candidate.p_holm,
        "criteria": [
            {"kind": c.kind, "suite": c.suite, "limit": c.limit, "status": c.status, "reason": c.reason, "p": c.p}
            | {"estimate": estimate_entry(c.estimate), "measured": c.measured}
            for c in candidate.criteria
        ],
    }


def decision_entry(decision: DecisionSettings) -> Json:
    """`decision` of the sweep's configuration."""
    return {
        "suites": None if decision.suites is None else list(decision.suites),
        "margin": decision.margin,
        "fidelity": asdict(decision.fidelity),
        "objective": list(decision.objective),
    }


def gemm_entry(findings: Findings) -> list[Json]:
    """A layer's products together, by variant and batch size."""
    return [
        {"variant": name, "batch_size": batch, "seconds": w.seconds, "flops": w.flops, "bytes": w.bytes}
        | {"speedup": estimate_entry(w.speedup), "of_vendor": w.of_vendor, "of_roofline": w.of_roof, "valid": w.valid}
        for name, wholes in (findings.gemm.wholes if findings.gemm else {}).items()
        for batch, w in wholes.items()
    ]


def average_entry(findings: Findings, name: str) -> Json | None:
    if name not in findings.study.forms:
        return None
    average = findings.averages[name]
    estimate = estimate_entry(average.recovery)
    return {
        "recovery": estimate,
        "suites": list(average.suites),
        "verdict": average.verdict,
        "reason": average.reason,
        "p": average.p,
        "p_holm": average.p_holm,
    }


def speedups_entry(found: Speedups | None) -> Json | None:
    if found is None:
        return None
    return {
        "latency": estimate_entry(found.latency),
        "throughput": estimate_entry(found.throughput),
        "capacity": estimate_entry(found.capacity),
        "capacity_scenarios": list(found.capacity_scenarios),
        "capacity_within_search": found.capacity_within_search,
    }


def capacity_entry(findings: Findings, variant: str, scenario: str) -> Json:
    reading, gain = findings.capacities[variant, scenario], findings.gains.get((variant, scenario))
    return {
        "variant": variant,
        "scenario": scenario,
        "slo": findings.study.scenarios[scenario].slo,
        "rate_rps": reading.value,
        "interval": estimate_entry(estimate(reading)),
        "status": reading.status,
        "note": reading.note,
        "gain": estimate_entry(gain.estimate) if gain else None,
        "gain_is_lower_bound": gain.at_least if gain else None,
        "gain_within_search": gain.within_search if gain else None,
    }


def cutoff_entry(envelope: Envelope, family: str, limit: float) -> Json:
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


def fastest_entry(envelope: Envelope, family: str, rate_rps: float) -> Json:
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


def energy_entry(found: Energy) -> Json:
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
        "output_tokens_per_j_gain": estimate_entry(found.gain),
    }


def suite_entry(findings: Findings, result: SuiteResult) -> Json:
    c, base = result.comparison, findings.suites.get((findings.study.baseline, result.suite))
    at_chance = base is not None and base.at_chance
    return {
        "variant": result.variant,
        "suite": result.suite,
        "metric": result.metric,
        "score": estimate_entry(result.score),
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
            "difference": estimate_entry(c.difference),
            "recovery": estimate_entry(c.recovery),
            "lost": c.lost,
            "gained": c.gained,
            "mcnemar_p": c.p if c.test == MCNEMAR else None,
            "p": c.p,
            "p_holm": c.p_holm,
            "test": c.test,
            "non_inferior": c.verdict,
            "items_to_show": c.items_to_show,
            "items_to_show_range": c.items_range and list(c.items_range),
            "power": c.power,
            "clustered_non_inferior": c.clustered_verdict,
            "baseline_at_chance": at_chance,
            "noise": estimate_entry(c.noise),
            "noise_flips": c.noise_flips and list(c.noise_flips),
        },
    }


def estimate_entry(estimate: Estimate | None) -> dict[str, float | None] | None:
    return None if estimate is None else {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def front_entry(front: Front) -> Json:
    def kept(value: Estimate) -> Json:
        known = estimate_entry(value)
        recovery = front.quality == RECOVERY
        return {"recovery": known if recovery else None, "perplexity_ratio": None if recovery else known}

    return {
        "name": front.name,
        "quality": front.quality,
        "points": {name: {"gain": estimate_entry(x)} | kept(y) for name, (x, y) in front.points.items()},
        "bounds": {
            name: {"at_least": bound.low, "at_most": bound.high} | kept(bound.quality)
            for name, bound in front.bounds.items()
        },
        "front": list(front.front),
        "dominated": front.dominated,
        "absent": front.absent,
    }
