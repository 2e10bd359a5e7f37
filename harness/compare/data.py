"""A comparison as JSON, schema 1: for programs.

`verdict`, `failed`, `command`, `pairs`; of each pair `a` and `b` (place, sweep, variant, label), `differences`,
`suites`, `seed` (of their resampling), `average_recovery`, `load_points`, `capacities`, `products`, `not_compared`,
`marks`, `checks`. An estimate is {"value", "low", "high"}; what is not known is null. Differences are b - a in shares
(0..1), ratios b / a, times ms, of products seconds.
"""

import json
import math
from dataclasses import asdict
from typing import Any

from harness.analysis.comparison import Comparison, Side
from harness.analysis.load_changes import A, B
from harness.compare.outcome import Outcome, Pair
from harness.records.fields import Json
from harness.report.tables.gates import counts_as
from harness.untrusted.visible import visible

SCHEMA = 1


def comparison_json(outcome: Outcome) -> str:
    found: Json = {"schema": SCHEMA, "verdict": outcome.verdict, "failed": outcome.failed, "refused": outcome.refused}
    found |= {"strict": outcome.strict, "power_at": outcome.regression, "command": outcome.command}
    found["pairs"] = [_pair(pair, outcome.strict) for pair in outcome.pairs]
    return visible(json.dumps(_finite(found), indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def _pair(pair: Pair, strict: bool) -> Json:
    comparison = pair.comparison
    findings, suites = comparison.findings, []
    for suite in comparison.study.suites:
        one, two = (findings.suites.get((word, suite)) for word in (A, B))
        if (known := two or one) is None:
            continue
        c = two.comparison if two else None
        suites.append(
            {"suite": suite, "a": one and asdict(one.score), "b": two and asdict(two.score)}
            | {"items": known.items, "metric": known.metric}
            | {"difference": c and asdict(c.difference), "recovery": c and c.recovery and asdict(c.recovery)}
            | {"lost": c and c.lost, "gained": c and c.gained, "mcnemar_p": c and c.p}
            | {"not_compared": two.not_compared if two else "not measured in B"}
        )
    average = findings.averages[B]
    return {
        "a": _side(comparison.a),
        "b": _side(comparison.b),
        "marks": [asdict(mark) for mark in findings.marks],
        "differences": [asdict(difference) for difference in comparison.differences],
        "suites": suites,
        "seed": comparison.study.seed,
        "average_recovery": average.recovery and asdict(average.recovery),
        "load_points": [asdict(change) for change in comparison.changes],
        "capacities": [_capacity(comparison, scenario) for scenario in comparison.study.scenarios],
        "products": [asdict(change) for change in comparison.products],
        "not_compared": list(comparison.not_compared),
        "references": list(pair.references),
        "candidates": list(pair.candidates),
        "checks": [
            asdict(check) | {"failed": check.failed(strict), "counts_as": counts_as(check, strict)}
            for check in pair.checks
        ],
    }


def _side(side: Side) -> dict[str, str]:
    label = side.study.label(side.variant)
    return {"place": side.place, "sweep": side.study.name, "variant": side.variant, "label": label}


def _capacity(comparison: Comparison, scenario: str) -> Json:
    a, b = (comparison.findings.capacities[word, scenario] for word in (A, B))
    gain = comparison.findings.gains.get((B, scenario))
    found = {"scenario": scenario, "slo": comparison.study.scenarios[scenario].slo}
    for word, reading in (("a", a), ("b", b)):
        found[word] = {"rate_rps": reading.value, "status": reading.status, "note": reading.note}
    return found | {"ratio": gain and asdict(gain.estimate), "ratio_is_lower_bound": bool(gain and gain.at_least)}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
