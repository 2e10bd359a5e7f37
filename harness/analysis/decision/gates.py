"""Gates on a comparison, for CI: what each check finds. gate_rule.py decides over all checks together.

A speed is compared by starts (analysis/start_values.py): the interval of one start's requests or repeats does not hold
how starts differ, and a gate on it fails on equal servers. Without enough starts the check is refused, and says what is
missing. A check that could not be made counts as failed, as does a gate that has nothing to check: a gate never passes
in silence. A suite on which A scored nothing cannot get worse: that is a note.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.analysis.comparison import Comparison
from harness.analysis.load_changes import A, B, Change
from harness.analysis.speed.readings import BELOW
from harness.analysis.start_values import CAPACITY, Key, Starts
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.starts import StartChange

PASSED, FAILED, INCONCLUSIVE, NOT_EVALUATED = "passed", "FAILED", "inconclusive", "NOT EVALUATED"
REFUSED, NOTE = "REFUSED", "note"
DECIDED_LATER = ""  # the status of a check until gate_rule.py has seen all of them


@dataclass(frozen=True)
class Gates:
    """None and {}: not asked for. Regressions are B / A - 1 of a latency at each load point, by percentile or mean,
    {"p99": 0.05}; ratios are B / A."""

    min_recovery: float | None = None
    max_itl_regression: Mapping[str, float] = field(default_factory=dict)
    max_ttft_regression: Mapping[str, float] = field(default_factory=dict)
    min_throughput_ratio: float | None = None
    min_capacity_ratio: float | None = None


@dataclass(frozen=True)
class Check:
    """`limit` and `estimate` are of the same quantity: a recovery or a ratio B / A.

    `p`: one-sided, of no change for the worse (of a recovery, of one at the limit); `adjusted`: over all
    checks. `power`: chance of finding the regression that was asked about; `detectable`: the smallest change that is
    found in 90 % of nights, as a ratio; `needed`: starts of A with which `power` would be 90 %.
    """

    gate: str
    what: str
    limit: float
    estimate: Estimate | None
    status: str
    reason: str = ""
    metric: str = ""
    lower_is_better: bool = True
    starts: StartChange | None = None
    over: int = 1  # load points
    whole: bool = False  # the one check of its gate that is of all load points or suites: WHOLE of the 5 % are theirs
    p: float | None = None
    adjusted: float | None = None
    power: float | None = None
    detectable: float | None = None
    needed: int | None = None

    def failed(self, strict: bool = False) -> bool:
        """Whether it fails the gate; `strict`: what is inconclusive does too."""
        return self.status in (FAILED, NOT_EVALUATED) or (strict and self.status == INCONCLUSIVE)

    @property
    def excess(self) -> float:
        """How far beyond its limit: above 1 is beyond; 0 where it is not known."""
        if self.estimate is None or not self.estimate.value or not self.limit:
            return 0.0
        over = self.estimate.value / self.limit
        return over if self.lower_is_better else 1 / over


def checks(comparison: Comparison, gates: Gates, starts: Starts) -> list[Check]:
    """Return the checks of one pair, undecided where they have a `p`."""
    found: list[Check] = []
    if gates.min_recovery is not None:
        found += _some("min-recovery", gates.min_recovery, _recovery(comparison, gates.min_recovery))
    for latency, limits in (("itl", gates.max_itl_regression), ("ttft", gates.max_ttft_regression)):
        for part, limit in limits.items():
            gate, metric = f"max-{latency}-regression", f"{latency}_ms_{part}"
            found += _some(gate, 1 + limit, _changes(comparison, starts, gate, metric, 1 + limit))
    if gates.min_throughput_ratio is not None:
        gate, limit = "min-throughput-ratio", gates.min_throughput_ratio
        found += _some(gate, limit, _changes(comparison, starts, gate, "output_tok_per_s", limit, load="throughput"))
    if gates.min_capacity_ratio is not None:
        limit = gates.min_capacity_ratio
        found += _some("min-capacity-ratio", limit, _capacity(comparison, starts, limit))
    return found


def _some(gate: str, limit: float, made: list[Check]) -> list[Check]:
    if not made:
        made = [Check(gate, "all", limit, None, NOT_EVALUATED, "nothing that both sides have can be compared")]
    first, *others = made
    return [replace(first, whole=not others or first.over > 1 or gate == "min-recovery"), *others]


def _recovery(comparison: Comparison, limit: float) -> list[Check]:
    """The average and each suite that A has a valid score of."""
    gate, findings, found = "min-recovery", comparison.findings, []
    scored = [r for r in findings.suites.values() if r.variant != B and r.valid]
    average = findings.averages[B]
    counted = [r for r in scored if r.suite not in average.left_out]
    if len(counted) > 1:
        found.append(_share(gate, f"average of {len(counted)} suites", limit, average.recovery, average.reason or ""))
    for base in scored:
        own = findings.suites.get((B, base.suite))
        recovery = own.comparison.recovery if own and own.comparison else None
        if own and own.comparison and not base.score.value:
            reason = "A and B scored nothing" if not own.score.value else "A scored nothing"
            found.append(Check(gate, base.suite, limit, None, NOTE, f"{reason}: not counted"))
        else:
            reason = "not measured in B" if own is None else own.not_compared or "no recovery"
            found.append(_share(gate, base.suite, limit, recovery, reason))
    return found


def _share(gate: str, what: str, limit: float, recovery: Estimate | None, reason: str) -> Check:
    if recovery is None:
        status = NOTE if reason == "the baseline scored nothing" else NOT_EVALUATED
        return Check(gate, what, limit, None, status, reason, lower_is_better=False)
    reason = "" if recovery.bounded else "no interval"
    return Check(gate, what, limit, recovery, DECIDED_LATER, reason, lower_is_better=False)


def _changes(
    comparison: Comparison, starts: Starts, gate: str, metric: str, limit: float, load: str | None = None
) -> list[Check]:
    """One check a load point, and one over all of them; a point that only one side planned, or that has no valid
    reference in A, has none."""
    found, keys = [], []
    for change in comparison.changes:
        if change.metric != metric or (load and change.load != load):
            continue
        what = f"{change.scenario}, {change.load}, {metric}"
        key = (change.scenario, change.load, metric)
        if change.lost:
            found.append(Check(gate, what, limit, None, NOT_EVALUATED, change.reason or "", metric))
        elif change.reason is None and change.a and change.b:
            found.append(_of_starts(gate, what, limit, metric, starts, key, change))
            keys.append(key)
    if len(keys) > 1 and (all_points := starts.over(keys)):
        what = f"{len(keys)} load points together, {metric}"
        found.insert(0, _undecided(gate, what, limit, metric, all_points, len(keys)))
    return found


def _of_starts(
    gate: str, what: str, limit: float, metric: str, starts: Starts, key: Key, seen: Change | Estimate
) -> Check:
    if made := starts.change(key):
        return _undecided(gate, what, limit, metric, made)
    estimate = seen if isinstance(seen, Estimate) else seen.ratio and Estimate(seen.ratio.value)
    a, b = (len(side) for side in starts.values.get(key, ((), ())))
    reason = f"n = {a} start{'s' * (a != 1)} of A and {b} of B, no CI"
    return Check(gate, what, limit, estimate, REFUSED, reason, metric, not gate.startswith("min"))


def _undecided(gate: str, what: str, limit: float, metric: str, made: StartChange, over: int = 1) -> Check:
    lower = not gate.startswith("min")
    reason = f"{made.reference} and {made.candidate} start{'s' * (made.candidate != 1)}"
    return Check(gate, what, limit, made.estimate, DECIDED_LATER, reason, metric, lower, made, over)


def _capacity(comparison: Comparison, starts: Starts, limit: float) -> list[Check]:
    gate, findings, found = "min-capacity-ratio", comparison.findings, []
    for scenario in comparison.study.scenarios:
        base, own = (findings.capacities[word, scenario] for word in (A, B))
        gain = findings.gains.get((B, scenario))
        if gain is None:
            if base.value is None:
                continue  # no reference
            status = FAILED if own.status == BELOW else NOT_EVALUATED
            theirs = own.note or (f"{own.value:.2f}/s" if own.value is not None else "")
            reason = f"A {base.status} {base.value:.2f}/s; B {own.status} {theirs}".rstrip()
            found.append(Check(gate, scenario, limit, None, status, reason, lower_is_better=False))
        elif gain.at_least:
            low = gain.estimate.low if gain.estimate.low is not None else gain.estimate.value
            reason = "a lower bound: B kept the SLO at every rate"
            status = PASSED if low >= limit else INCONCLUSIVE
            found.append(Check(gate, scenario, limit, gain.estimate, status, reason, lower_is_better=False))
        else:
            key = (scenario, *CAPACITY)
            found.append(_of_starts(gate, scenario, limit, CAPACITY[1], starts, key, gain.estimate))
    return found
