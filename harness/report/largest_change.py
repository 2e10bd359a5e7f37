"""The largest change for the worse that was observed, proven or not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, log

from harness.analysis.comparison import Comparison
from harness.analysis.decision.gates import Check
from harness.analysis.load_changes import B
from harness.analysis.statistics.intervals import Estimate
from harness.report.regression import Compared
from harness.report.tables.comparison import LOAD_COLUMNS, metric_name, relative
from harness.report.words import plural


@dataclass(frozen=True)
class Observed:
    """`ratio`: B / A of what `what` names; `worse`: ln of it, upwards for the worse."""

    what: str
    ratio: Estimate
    worse: float


def largest_change(compared: Compared) -> str:
    """Name the number that became worse by the largest factor, with its interval; empty where none became worse."""
    found = [(c, observed) for c, checks in compared for observed in _observed(c, checks)]
    worst = max(found, key=lambda each: each[1].worse, default=None)
    if worst is None or worst[1].worse <= 0:
        return ""
    comparison, observed = worst
    label = f"{comparison.b.study.label(comparison.b.variant)}, " if len(compared) > 1 else ""
    return (
        f"Largest observed change for the worse: {label}{observed.what}: {relative(observed.ratio)}, "
        f"{_certainty(observed.ratio, len(found))}."
    )


def _certainty(ratio: Estimate, numbers: int) -> str:
    if not ratio.bounded:
        return "n = 1, no CI"
    if not ratio.excludes(1.0):
        return "inconclusive"
    return "95 % interval excludes no change" + (
        f", uncorrected for {plural(numbers, 'number')}" if numbers > 1 else ""
    )


def _observed(comparison: Comparison, checks: Sequence[Check]) -> Iterator[Observed]:
    """What the tables show; where a check has compared more starts of the same, the check's estimate."""
    checked = {check.what: check for check in checks if check.estimate and check.estimate.value > 0}
    for what, check in checked.items():
        assert check.estimate is not None
        name = what.replace(check.metric, metric_name(check.metric)) if check.metric else what
        yield Observed(name, check.estimate, _worse(check.estimate, check.lower_is_better))
    for change in comparison.changes:
        place = f"{change.scenario}, {change.load}, "
        if change.ratio and change.metric in LOAD_COLUMNS and place + change.metric not in checked:
            worse = _worse(change.ratio, change.metric != "output_tok_per_s")
            yield Observed(place + metric_name(change.metric), change.ratio, worse)
    findings = comparison.findings
    for scenario in comparison.study.scenarios:
        gain = findings.gains.get((B, scenario))
        if gain and not gain.at_least:
            yield Observed(f"{scenario}, requests/s at the SLO", gain.estimate, _worse(gain.estimate, False))
    for suite in comparison.study.suites:
        result = findings.suites.get((B, suite))
        recovery = result.comparison.recovery if result and result.comparison else None
        if recovery and suite not in checked:
            yield Observed(f"{suite}, score", recovery, _worse(recovery, False))


def _worse(ratio: Estimate, lower_is_better: bool) -> float:
    """ln of the ratio, upwards for the worse."""
    if ratio.value <= 0:
        return -inf if lower_is_better else inf
    return log(ratio.value) if lower_is_better else -log(ratio.value)
