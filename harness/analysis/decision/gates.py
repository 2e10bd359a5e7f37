"""Gates on a comparison, for CI: each check passes, fails, is inconclusive, or could not be made.

With an interval, a check fails when the whole interval violates the limit, passes when the whole interval keeps it, and
is inconclusive in between. Without one (one run each) the value decides, and that is said. A check that could not be
made counts as failed, as does a gate that has nothing to check: a gate never passes in silence.
"""

from dataclasses import dataclass, replace

from harness.analysis.comparison import Comparison
from harness.analysis.load_changes import B
from harness.analysis.speed.readings import BELOW
from harness.analysis.statistics.intervals import Estimate

PASSED, FAILED, INCONCLUSIVE, NOT_EVALUATED = "passed", "FAILED", "inconclusive", "NOT EVALUATED"


@dataclass(frozen=True)
class Gates:
    """None: not asked for. Regressions are B / A - 1 of a latency at each load point; ratios are B / A."""

    min_recovery: float | None = None
    max_itl_regression: float | None = None
    max_ttft_regression: float | None = None
    min_throughput_ratio: float | None = None
    min_capacity_ratio: float | None = None
    percentile: str = "p50"  # of the latencies


@dataclass(frozen=True)
class Check:
    """`limit` and `estimate` are of the same quantity: a recovery or a ratio B / A."""

    gate: str
    what: str
    limit: float
    estimate: Estimate | None
    status: str
    reason: str = ""

    def failed(self, strict: bool = False) -> bool:
        """Strict: only what an interval shows passes."""
        if self.status in (FAILED, NOT_EVALUATED):
            return True
        return strict and (self.status == INCONCLUSIVE or self.estimate is None or not self.estimate.bounded)


def checks(comparison: Comparison, gates: Gates) -> list[Check]:
    found: list[Check] = []
    if gates.min_recovery is not None:
        found += _some("min-recovery", gates.min_recovery, _recovery(comparison, gates.min_recovery))
    for latency in ("itl", "ttft"):
        limit = getattr(gates, f"max_{latency}_regression")
        if limit is not None:
            name, metric = f"max-{latency}-regression", f"{latency}_ms_{gates.percentile}"
            found += _some(name, 1 + limit, _changes(comparison, name, metric, 1 + limit, lower_is_better=True))
    if gates.min_throughput_ratio is not None:
        name, limit = "min-throughput-ratio", gates.min_throughput_ratio
        made = _changes(comparison, name, "output_tok_per_s", limit, lower_is_better=False, load="throughput")
        found += _some(name, limit, made)
    if gates.min_capacity_ratio is not None:
        found += _some("min-capacity-ratio", gates.min_capacity_ratio, _capacity(comparison, gates.min_capacity_ratio))
    return found


def _some(gate: str, limit: float, made: list[Check]) -> list[Check]:
    return made or [Check(gate, "all", limit, None, NOT_EVALUATED, "nothing that both sides have can be compared")]


def status_of(estimate: Estimate, limit: float, lower_is_better: bool) -> str:
    keeps = (lambda x: x <= limit) if lower_is_better else (lambda x: x >= limit)
    if estimate.low is None and estimate.high is None:
        return PASSED if keeps(estimate.value) else FAILED
    best, worst = (estimate.low, estimate.high) if lower_is_better else (estimate.high, estimate.low)
    if worst is not None and keeps(worst):
        return PASSED
    return FAILED if best is not None and not keeps(best) else INCONCLUSIVE


def _made(gate: str, what: str, limit: float, estimate: Estimate, lower_is_better: bool) -> Check:
    reason = "" if estimate.bounded else "n = 1, no CI"
    return Check(gate, what, limit, estimate, status_of(estimate, limit, lower_is_better), reason)


def _recovery(comparison: Comparison, limit: float) -> list[Check]:
    """The average and each suite that A has a valid score of."""
    gate, findings, found = "min-recovery", comparison.findings, []
    scored = [r for r in findings.suites.values() if r.variant != B and r.valid]
    average = findings.averages[B]
    if len(scored) > 1:
        what = f"average of {len(scored)} suites"
        if average.recovery:
            found.append(_made(gate, what, limit, average.recovery, lower_is_better=False))
        else:
            found.append(Check(gate, what, limit, None, NOT_EVALUATED, average.reason or "no recovery"))
    for base in scored:
        own = findings.suites.get((B, base.suite))
        if own and own.comparison and own.comparison.recovery:
            found.append(_made(gate, base.suite, limit, own.comparison.recovery, lower_is_better=False))
        else:
            reason = "not measured in B" if own is None else own.not_compared or "A scored nothing"
            found.append(Check(gate, base.suite, limit, None, NOT_EVALUATED, reason))
    return found


def _changes(
    comparison: Comparison, gate: str, metric: str, limit: float, lower_is_better: bool, load: str | None = None
) -> list[Check]:
    """One check a load point; a point that only one side planned, or that has no valid reference in A, has none."""
    found = []
    for change in comparison.changes:
        if change.metric != metric or (load and change.load != load):
            continue
        what = f"{change.scenario}, {change.load}, {metric}"
        if change.ratio is not None:
            found.append(_made(gate, what, limit, change.ratio, lower_is_better))
        elif change.lost:
            found.append(Check(gate, what, limit, None, NOT_EVALUATED, change.reason or ""))
    return found


def _capacity(comparison: Comparison, limit: float) -> list[Check]:
    gate, findings, found = "min-capacity-ratio", comparison.findings, []
    for scenario in comparison.study.scenarios:
        base, own = (findings.capacities[word, scenario] for word in comparison.study.variants)
        gain = findings.gains.get((B, scenario))
        if gain is None:
            if base.value is None:
                continue  # no reference
            status = FAILED if own.status == BELOW else NOT_EVALUATED
            theirs = own.note or (f"{own.value:.2f}/s" if own.value is not None else "")
            reason = f"A {base.status} {base.value:.2f}/s; B {own.status} {theirs}".rstrip()
            found.append(Check(gate, scenario, limit, None, status, reason))
            continue
        check = _made(gate, scenario, limit, gain.estimate, lower_is_better=False)
        if gain.at_least:
            status = check.status if check.status == PASSED else INCONCLUSIVE
            check = replace(check, status=status, reason="a lower bound: B kept the SLO at every rate")
        found.append(check)
    return found
