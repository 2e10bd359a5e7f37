"""Numbers and findings in words: every number with its unit and, where there is one, its 95 % interval."""

from harness.analysis import Findings
from harness.analysis.quality.accuracy import AverageRecovery
from harness.analysis.speed.capacity import Gain, estimate, ratio_bounds
from harness.analysis.speed.readings import AT_LEAST, INTERPOLATED, UNRESOLVED, Reading
from harness.analysis.statistics.intervals import Estimate
from harness.config.slo import GOODPUT, PER_USER, Limit, Slo
from harness.records.quantities import NONE, between, number

SIMULATED = "SIMULATED: "  # before a sentence that may be quoted without the page around it
BRACKETS = "Brackets are 95 % intervals; a number without them is of one run (n = 1)."
WITHIN = " (within one search: run-to-run variation is not included)"


def percent(estimate: Estimate | None, digits: int = 1) -> str:
    """``99.2 % [98.1, 100.4]``"""
    if estimate is None:
        return NONE
    digits = _digits(estimate, 100, digits)
    return f"{100 * estimate.value:.{digits}f} %{_interval(estimate, 100, digits)}"


def points(estimate: Estimate | None) -> str:
    """A difference of scores in percentage points: ``-0.5 [-1.6, +0.4]``."""
    if estimate is None:
        return NONE
    digits = _digits(estimate, 100, 1)
    return f"{_plain(100 * estimate.value, digits):+.{digits}f}{_interval(estimate, 100, digits, sign='+')}"


def times(estimate: Estimate | None, digits: int = 2) -> str:
    """``1.48× [1.44, 1.52]``"""
    if estimate is None:
        return NONE
    digits = _digits(estimate, 1, digits)
    return f"{estimate.value:.{digits}f}×{_interval(estimate, 1, digits)}"


def perplexity_ratio(estimate: Estimate | None) -> str:
    """``1.034× [1.022, 1.046]``: near 1 three digits, as a limit of 1.02 is not read from two; ``29.5×`` elsewhere."""
    return times(estimate, digits=1 if estimate and estimate.value >= 10 else 3)


def no_signal(average: AverageRecovery) -> str:
    """What a table has in place of a recovery where no suite distinguishes variants."""
    if not average.unscored:
        return "at chance"
    return "baseline 0 %" if average.unscored == average.left_out else "at chance or 0 %"


def _digits(estimate: Estimate, scale: float, usual: int) -> int:
    """Digits that show an interval as one: ``+0.00 [-0.03, +0.03]`` and not ``[+0.0, +0.0]``; at most two more."""
    if estimate.bounds is None or estimate.bounds[0] == estimate.bounds[1]:
        return usual
    low, high = (scale * bound for bound in estimate.bounds)
    return next((d for d in range(usual, usual + 3) if round(low, d) != round(high, d)), usual)


def _interval(estimate: Estimate, scale: float, digits: int, sign: str = "") -> str:
    if estimate.low is None and estimate.high is None:
        return ""
    bounds = [
        "unbounded" if bound is None else f"{_plain(scale * bound, digits):{sign}.{digits}f}"
        for bound in (estimate.low, estimate.high)
    ]
    return f" [{', '.join(bounds)}]"


def _plain(value: float, digits: int) -> float:
    """Rounded, and without the sign of a zero."""
    return round(value, digits) + 0.0


def about(count: int) -> str:
    """Two significant digits, rounded up: ``about 110,000``"""
    step = 10 ** max(0, len(str(count)) - 2)
    return f"about {-(-count // step) * step:,}"


def items_needed(span: tuple[int, int]) -> str:
    """``~4,000 to ~110,000``, each as `about` rounds it."""
    low, high = (about(count).removeprefix("about ") for count in span)
    return f"~{low}" if low == high else f"~{low} to ~{high}"


def size(count: int | None) -> str:
    """Bytes in decimal units, as hubs and disks give them."""
    if not count:
        return NONE
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def p_value(p: float | None) -> str:
    return NONE if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def reading(found: Reading) -> str:
    if found.status == UNRESOLVED:
        return between(found.low, found.high)
    if found.value is None:
        return found.status
    mark = {AT_LEAST: "≥ ", INTERPOLATED: "≈ "}.get(found.status, "")
    return f"{mark}{number(found.value)}"


def rate(found: Reading) -> str:
    """A request rate with its interval where there is one: ``8.10 [7.90, 8.30]``; else as `reading` has it."""
    known = estimate(found)
    return (
        f"{reading(found)} [{number(known.low)}, {number(known.high)}]" if known and known.bounded else reading(found)
    )


def measured(found: Estimate | None) -> str:
    """A number with its interval: ``1,234 [1,200, 1,270]``."""
    if found is None:
        return NONE
    return (
        f"{number(found.value)} [{number(found.low)}, {number(found.high)}]" if found.bounded else number(found.value)
    )


def slo(limits: dict[str, float]) -> str:
    """``p99 ITL ≤ 50 ms``, ``99 % of requests with TTFT ≤ 1000 ms and TPOT ≤ 50 ms``"""
    found = Slo.known(limits)
    given = sorted(found.limits, key=lambda limit: list(limits).index(limit.key))
    parts = [f"{_part(limit)} {_bound(limit.metric, limit.value)}" for limit in given]
    if found.goodput is not None:
        each = " and ".join(_bound(metric, limit) for metric, limit in found.each)
        parts.append(f"{100 * found.goodput:g} % of requests with {each}")
    return " and ".join(parts) or "no SLO"


def limit_name(key: str) -> str:
    """Name a value that decides an SLO, by its key: ``p99 ITL``, ``goodput``."""
    if key.startswith(GOODPUT):
        return GOODPUT
    (limit,) = Slo.known({key: 1.0}).limits or (None,)
    return f"{_part(limit)} {_metric(limit.metric)}" if limit else key


def _part(limit: Limit) -> str:
    return "mean" if limit.percent is None else f"p{limit.percent:g}"


def _metric(metric: str) -> str:
    return "tokens/s per user" if metric == PER_USER else metric.removesuffix("_ms").upper()


def _bound(metric: str, limit: float) -> str:
    return f"{_metric(metric)} " + (f"≥ {limit:g}" if metric == PER_USER else f"≤ {limit:g} ms")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def told(estimate: Estimate, below: str = "", above: str = "") -> str:
    """What an interval around a ratio says of 1, not corrected; nothing of one without an interval."""
    if not estimate.bounded:
        return ""
    if not estimate.excludes(1.0):
        return " (no significant difference)"
    word = below if estimate.value < 1 else above
    return f" (a nominally significant {word})" if word else ""


def slo_ratio(findings: Findings, name: str, scenario: str) -> str | None:
    """``2.10× [1.95, 2.26]``, ``at least 2.16×``, ``at most 0.80×``, ``0.90× to 1.30×`` of the baseline's rate."""
    if gain := findings.gains.get((name, scenario)):
        return capacity_gain(gain)
    base, own = (findings.capacities.get((variant, scenario)) for variant in (findings.study.baseline, name))
    return bounded_ratio(*ratio_bounds(base, own)) if base and own else None


def bounded_ratio(low: float | None, high: float | None) -> str | None:
    """A ratio of which only bounds are known: ``at least 2.16×``, ``at most 0.80×``, ``0.90× to 1.30×``."""
    if low is not None and high is not None and high > 1:
        return f"{low:.2f}× to {high:.2f}×"
    if high is not None:
        return f"at most {high:.2f}×"
    return f"at least {low:.2f}×" if low is not None else None


def capacity_gain(found: Gain | None) -> str:
    """``1.48× [1.44, 1.52]``, or ``at least 1.48×``: a bound of the ratio, from the lower bound of a rate."""
    if found is None:
        return NONE
    if found.at_least:
        return f"at least {found.estimate.value:.2f}×"
    return times(found.estimate) + (" within one search" if found.within_search else "")
