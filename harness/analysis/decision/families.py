"""The p of each check of a comparison, adjusted over all checks of it together: at most 5 % of equal sides fail.

Checks that compare the same starts are adjusted jointly (statistics/rotation.py), since a slow start is slow at every
load point; those of a suite, and those of load points that not every start has, by Holm (S. Holm 1979, Scandinavian
Journal of Statistics 6, 65). Each of these families has a part of the 5 % that is known before, so the parts add up
whatever depends on what. `WHOLE` of the 5 % are for the checks that are of all load points or suites together, shared
evenly, and the rest for the others: a regression that is everywhere is found by the first, with the least noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import numpy as np

from harness.analysis.decision.gates import Check
from harness.analysis.statistics.rotation import Joint
from harness.analysis.statistics.significance import ALPHA, holm

WHOLE = 0.7


@dataclass(frozen=True)
class Adjusted:
    """`p`: adjusted over all checks; `level`: the unadjusted p up to which the check would fail, where it was asked."""

    p: float
    level: float | None


def adjusted(tested: Mapping[int, tuple[Check, float]], regression: float | None) -> dict[int, Adjusted]:
    """`tested`: check and unadjusted p by position; `regression`: the change for the worse at which `level` is said."""
    kinds = [check.whole for check, _ in tested.values()]
    parts = {True: WHOLE, False: 1 - WHOLE} if len(set(kinds)) == 2 else {True: 1.0, False: 1.0}
    weights = {n: parts[check.whole] / kinds.count(check.whole) for n, (check, _) in tested.items()}
    names = {n: check.starts.names if check.starts else None for n, (check, _) in tested.items()}
    found: dict[int, Adjusted] = {}
    for family in dict.fromkeys(names.values()):
        members = [n for n in tested if names[n] == family]
        part = sum(weights[n] for n in members)
        checks = [tested[n][0] for n in members]
        if family is None:
            by_holm = holm({str(n): tested[n][1] for n in members}, {str(n): weights[n] for n in members})
            found |= {n: Adjusted(min(1.0, (by_holm[str(n)] or 0.0) / part), ALPHA * weights[n]) for n in members}
        else:
            joint = _joint(checks, [weights[n] for n in members])
            p = np.minimum(1.0, joint.adjusted() / part)
            for i, (n, check) in enumerate(zip(members, checks, strict=True)):
                level = regression and joint.level(i, _worse_ln(check, regression), ALPHA * part)
                found[n] = Adjusted(float(p[i]), level)
    return found


def demanded(check: Check) -> float:
    """The ratio that a change for the worse is beyond: 1, or the limit where an improvement is asked for."""
    return min(1.0, check.limit) if check.lower_is_better else max(1.0, check.limit)


def _worse_ln(check: Check, regression: float) -> float:
    return log(1 + regression) if check.lower_is_better else -log(1 - regression)


def _joint(checks: list[Check], weights: list[float]) -> Joint:
    columns, limits = [], []
    for check in checks:
        assert check.starts is not None
        sign = 1 if check.lower_is_better else -1
        logs = np.array(check.starts.logs)
        logs[check.starts.reference :] -= log(demanded(check))
        columns.append(sign * logs)
        limits.append(sign * (log(check.limit) - log(demanded(check))))
    starts = checks[0].starts
    assert starts is not None
    return Joint(np.column_stack(columns), starts.reference, np.array(limits), np.array(weights))
