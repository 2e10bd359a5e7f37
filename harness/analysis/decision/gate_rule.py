"""The decision over all checks of a comparison, so that equal sides fail it in at most 5 % of nights.

A check fails where the change is estimated beyond its limit *and* is shown to be a change for the worse at all: the
one-sided p of no change, adjusted over all checks together (families.py), is at most 5 %. (Where the limit asks for an
improvement, it is the limit that p is of; a recovery has a margin in its limit, and p is of that.) It passes where the
whole 95 % interval keeps the limit, and is inconclusive otherwise.
"""

from dataclasses import replace
from math import exp, inf, log

from scipy.special import ndtr, ndtri

from harness.analysis.decision.families import Adjusted, adjusted, demanded
from harness.analysis.decision.gates import DECIDED_LATER, FAILED, INCONCLUSIVE, PASSED, Check
from harness.analysis.statistics.intervals import CONFIDENCE, Estimate
from harness.analysis.statistics.significance import ALPHA
from harness.analysis.statistics.starts import FOUND

MOST_STARTS = 40  # more nights are not proposed
_Z = float(ndtri((1 + CONFIDENCE) / 2))


def decide(found: list[Check], regression: float | None) -> list[Check]:
    """Return the checks, decided. `regression`: the change for the worse whose `power` is stated: 0.08 is 8 %; None:
    no power is stated."""
    p_values = {n: _p(check) for n, check in enumerate(found) if check.status == DECIDED_LATER}
    tested = {n: (found[n], p) for n, p in p_values.items() if p is not None}
    by_position = adjusted(tested, regression)
    return [
        _decided(check, p_values[n], by_position.get(n), regression) if n in p_values else check
        for n, check in enumerate(found)
    ]


def keeps(value: float, limit: float, lower_is_better: bool) -> bool:
    return value <= limit if lower_is_better else value >= limit


def status_of(estimate: Estimate, limit: float, lower_is_better: bool, adjusted: float | None) -> str:
    """`adjusted` None: nothing is known of the change's error, so it neither fails nor passes."""
    if adjusted is None:
        return INCONCLUSIVE
    if not keeps(estimate.value, limit, lower_is_better) and adjusted <= ALPHA:
        return FAILED
    worst = estimate.high if lower_is_better else estimate.low
    return PASSED if worst is not None and keeps(worst, limit, lower_is_better) else INCONCLUSIVE


def _p(check: Check) -> float | None:
    if check.starts is not None:
        return check.starts.p_beyond(demanded(check), above=check.lower_is_better)
    estimate = check.estimate
    if estimate is None or estimate.high is None:
        return None
    error = (estimate.high - estimate.value) / _Z  # of the side that faces the limit
    if error <= 0:
        return 1.0 if keeps(estimate.value, check.limit, check.lower_is_better) else 0.0
    return float(ndtr((estimate.value - check.limit) / error))


def _decided(check: Check, p: float | None, of_all: Adjusted | None, regression: float | None) -> Check:
    assert check.estimate is not None
    status = status_of(check.estimate, check.limit, check.lower_is_better, of_all.p if of_all else None)
    check = replace(check, status=status, p=p, adjusted=of_all.p if of_all else None)
    if check.starts is None or of_all is None or of_all.level is None or regression is None or check.limit <= 0:
        return check
    alpha = of_all.level
    worse = 1 if check.lower_is_better else -1
    limit_ln = worse * log(check.limit)
    if limit_ln < 0:  # an improvement is asked for: a regression is no question
        return check
    true_ln = worse * log(1 + worse * regression)
    power, smallest = check.starts.power(true_ln, limit_ln, alpha), check.starts.detectable(limit_ln, alpha)
    more = (replace(check.starts, reference=k) for k in range(check.starts.reference, MOST_STARTS + 1))
    needed = next((starts.reference for starts in more if starts.power(true_ln, limit_ln, alpha) >= FOUND), None)
    detectable = None if smallest == inf else exp(worse * smallest)
    return replace(check, power=power, detectable=detectable, needed=needed)
