"""The gates of a comparison: a row a check, what it counts as, and what each gate is able to find."""

from harness.analysis.decision.gates import FAILED, INCONCLUSIVE, NOT_EVALUATED, NOTE, PASSED, REFUSED, Check
from harness.analysis.statistics.intervals import Estimate
from harness.report.tables.comparison import relative
from harness.report.tables.table import Table, Td, table
from harness.report.words import NONE, p_value, percent

TONES = {PASSED: "good", FAILED: "bad", NOT_EVALUATED: "bad", INCONCLUSIVE: "warn", REFUSED: "warn", NOTE: "muted"}
RULE = (
    "A check fails where the change is estimated beyond its limit and p, adjusted over all checks together, is at most "
    "5 %: equal sides fail in at most 5 % of comparisons. It passes where the whole 95 % interval keeps the limit."
)


def gates_table(checks: list[Check], strict: bool = False, regression: float = 0.08) -> Table:
    rows = []
    for check in checks:
        found = NONE if check.estimate is None else check_text(check, check.estimate)
        status = Td(check.status, TONES[check.status])
        p = NONE if check.adjusted is None else p_value(check.adjusted)
        counts = Td(counts_as(check, strict), "bad" if check.failed(strict) else "")
        rows.append([status, check.gate, check.what, limit_text(check), Td(found, note=check.reason), p, counts])
    heads = ["Result", "Gate", "Of", ">Limit", ">Found", ">p, adjusted", "Counts as"]
    return table("Gates", heads, rows, " ".join([RULE, *findable(checks, regression), *missing(checks)]))


def counts_as(check: Check, strict: bool) -> str:
    """``failure``, ``pass``, ... : what a check is for the exit code."""
    if check.status == INCONCLUSIVE:
        return "failure (--strict)" if strict else "pass (failure with --strict)"
    return {PASSED: "pass", REFUSED: "refusal", NOTE: "not counted"}.get(check.status, "failure")


def limit_text(check: Check) -> str:
    sign = "≤" if check.gate.startswith("max") else "≥"
    return f"{sign} {check_text(check, Estimate(check.limit))}"


def check_text(check: Check, estimate: Estimate) -> str:
    if check.gate.endswith("regression"):
        return relative(estimate)
    if check.gate == "min-recovery":
        return percent(estimate)
    low, high = estimate.low, estimate.high
    interval = f" [{low:.3g}, {high:.3g}]" if low is not None and high is not None else ""
    return f"{estimate.value:.3g}×{interval}"


def findable(checks: list[Check], regression: float) -> list[str]:
    """Say of each gate in what share of nights it finds `regression`, and what it finds in 90 %."""
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.power is not None:
            groups.setdefault((check.gate, check.metric), []).append(check)
    return [_finds(own, regression) for own in groups.values()]


def _finds(own: list[Check], regression: float) -> str:
    change = f"{'+' if own[0].lower_is_better else '−'}{100 * regression:g} %"
    whole = max(own, key=lambda check: check.power or 0.0)
    text = f"{whole.metric}: a true {change} is found in {100 * (whole.power or 0.0):.0f} % of nights"
    single = [check.power for check in own if check.over == 1 and check.power is not None]
    if len(own) > 1 and single:
        text += f" where it is at every load point, in {100 * min(single):.0f} to {100 * max(single):.0f} % where it is"
        text += " at one alone"
    if whole.detectable is None:
        text += "; nothing is found in 90 %"
    else:
        text += f"; {100 * (whole.detectable - 1):+.1f} %".replace("-", "−") + " is found in 90 %"
    if whole.starts and whole.needed and whole.needed > whole.starts.reference:
        text += f" ({whole.needed} reference starts would find {change} in 90 %)"
    sd = 100 * (whole.starts.sd if whole.starts else 0.0)
    return f"{text}; starts differ by {sd:.2g} % (standard deviation)."


def missing(checks: list[Check]) -> list[str]:
    """Say what refused checks need."""
    if not any(check.status == REFUSED for check in checks):
        return []
    return [
        "Refused: how much starts of one server differ is not known from these records. Give at least 3 reference "
        "nights (harness compare results/night_* results/tonight), or start A and B in turn (harness ab)."
    ]
