"""What changes from A to B at each load point that both sides were sent in the same way."""

from dataclasses import dataclass

import numpy as np

from harness.analysis.findings import Findings
from harness.analysis.speed.performance import MIN_REQUESTS, PointResult
from harness.analysis.statistics.intervals import Estimate, log_ratio_interval, percentile_interval
from harness.analysis.statistics.seeds import seed_of
from harness.analysis.study import Study
from harness.records.cell import Cell
from harness.records.metrics import SHOWN_LATENCIES, spread
from harness.records.request import Request

A, B = "A", "B"  # the variants of a pair
COMPARED = (*spread(SHOWN_LATENCIES), "output_tok_per_s")
DRAWS = 1000


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
                ratio = _ratio(one, two, metric, seed_of(study.seed, scenario, load, metric))
                found.append(Change(scenario, load, metric, a, b, ratio))
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


def _ratio(a: PointResult, b: PointResult, metric: str, seed: list[int]) -> Estimate:
    """B / A. The interval is of the repeats; of the requests where one run each has them independent: single stream."""
    value = b.known(metric) / a.known(metric)
    repeated = log_ratio_interval(b.values(metric), a.values(metric))
    if repeated.bounded or a.profile != "single_stream":
        return Estimate(value, repeated.low and value * repeated.low / repeated.value,
                        repeated.high and value * repeated.high / repeated.value)  # fmt: skip
    draws_a, draws_b = (_draws(point, metric, [*seed, position]) for position, point in enumerate((a, b)))
    if draws_a is None or draws_b is None:
        return Estimate(value)
    return percentile_interval(value, draws_b / draws_a)


def _draws(point: PointResult, metric: str, seed: list[int]) -> np.ndarray | None:
    """Bootstrap draws of a latency's median or mean over whole requests; None for what they do not give.

    A tail percentile of a few requests is ruled by its largest value, which resampling cannot exceed.
    """
    latency, _, part = metric.partition("_ms_")
    groups = [g for run in point.runs for one in run.requests() if len(g := _values(one, latency))]
    if part not in ("p50", "mean") or len(groups) < MIN_REQUESTS:
        return None
    counts = np.random.default_rng(seed).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=DRAWS)
    values, owner = np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    if part == "mean":
        sums, sizes = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
        return (counts @ sums) / (counts @ sizes)
    order = np.argsort(values)
    values, owner = values[order], owner[order]
    totals = (np.cumsum(weights[owner]) for weights in counts)
    return np.array([values[np.searchsorted(total, 0.5 * total[-1])] for total in totals])


def _values(request: Request, latency: str) -> np.ndarray:
    """A request's values in ms: one TTFT or E2E, an ITL for each token but the first."""
    if not request.answered:
        return np.empty(0)
    if latency == "itl":
        return 1e3 * np.diff(np.asarray(request.token_s, dtype=float))
    return 1e3 * np.array([request.ttft_s if latency == "ttft" else request.e2e_s])
