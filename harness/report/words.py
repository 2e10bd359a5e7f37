"""Numbers and findings in words: every number with its unit and, where there is one, its 95 % interval."""

from dataclasses import dataclass, replace

from harness.analysis import Findings
from harness.analysis.speed.capacity import Gain, estimate, ratio_bounds
from harness.analysis.speed.readings import AT_LEAST, INTERPOLATED, UNRESOLVED, Reading
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.validity import simulated
from harness.config.slo import GOODPUT, PER_USER, Limit, Slo

NONE = "–"
WITHIN = " (within one search: run-to-run variation is not included)"


def percent(estimate: Estimate | None, digits: int = 1) -> str:
    """``99.2 % [98.1, 100.4]``"""
    if estimate is None:
        return NONE
    return f"{100 * estimate.value:.{digits}f} %{_interval(estimate, 100, digits)}"


def points(estimate: Estimate | None) -> str:
    """A difference of scores in percentage points: ``-0.5 [-1.6, +0.4]``."""
    if estimate is None:
        return NONE
    return f"{_plain(100 * estimate.value, 1):+.1f}{_interval(estimate, 100, 1, sign='+')}"


def times(estimate: Estimate | None) -> str:
    """``1.48× [1.44, 1.52]``"""
    return NONE if estimate is None else f"{estimate.value:.2f}×{_interval(estimate, 1, 2)}"


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


def number(value: float | None) -> str:
    """Three significant digits, never fewer than the whole part: 0.0123, 1.23, 12.3, 123, 1,234."""
    if value is None:
        return NONE
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:#.3g}"


def about(count: int) -> str:
    """Two significant digits, rounded up: ``about 110,000``"""
    step = 10 ** max(0, len(str(count)) - 2)
    return f"about {-(-count // step) * step:,}"


def size(count: int | None) -> str:
    """Bytes in decimal units, as hubs and disks give them."""
    if not count:
        return NONE
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def p_value(p: float | None) -> str:
    return NONE if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def reading(found: Reading) -> str:
    if found.status == UNRESOLVED:
        low, high = (None if bound is None else number(bound) for bound in (found.low, found.high))
        return f"{low} to {high}" if low and high else f"≥ {low}" if low else f"≤ {high}"
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


@dataclass(frozen=True)
class Verdict:
    """`headline`: accuracy and speed in one sentence; `detail`: what an engineer asks next."""

    variant: str
    headline: str
    detail: str
    mark: str = ""  # stands before a sentence wherever it is shown: it may be quoted without the page around it

    @property
    def text(self) -> str:
        return f"{self.mark}{self.headline} {self.detail}".strip()


def verdicts(findings: Findings) -> list[Verdict]:
    """A verdict on each other form of the model; where there are none, on the baseline's deployments."""
    mark = "SIMULATED: " if simulated(findings.study) else ""
    return [_verdict(findings, name, mark) for name in findings.study.forms or findings.study.compared]


def _verdict(findings: Findings, name: str, mark: str) -> Verdict:
    speeds = [
        text
        for text in (
            _capacity(findings, name),
            _latency(findings, name),
            _throughput(findings, name),
            _products(findings, name),
        )
        if text
    ]
    first, rest = (speeds[0], speeds[1:]) if speeds else ("its speed was not compared", [])
    own, base = (
        findings.study.variants[v].gpus if v in findings.study.variants else 1 for v in (name, findings.study.baseline)
    )
    first += f", on {plural(own, 'GPU')} against {base}" if speeds and own != base else ""
    deployed = findings.study.variants[name].accuracy_of is not None
    joint = (", and " if deployed else " and ") if speeds else "; "
    headline = f"{findings.study.label(name)} {_kept(findings, name)}{joint}{first}."
    detail = [_margin(findings, name), *_wins(findings, name)]
    detail += [f"It {' and '.join(rest)}."] if rest else []
    if any(not whole.valid for whole in (findings.gemm.wholes.get(name, {}) if findings.gemm else {}).values()):
        detail.append("The products of its kernel are wrong here: their speed is not given.")
    if speeds and name in findings.emulated:
        detail.append("Its kernels are emulated here: these speeds say nothing about hardware that has them.")
    return Verdict(name, headline, " ".join(text for text in detail if text), mark)


def _kept(findings: Findings, name: str) -> str:
    average, baseline = findings.averages[name], findings.study.label(findings.study.baseline)
    if scored := findings.study.variants[name].accuracy_of:
        return f"is {findings.study.label(scored)}, served in another way"
    if not findings.study.suites:
        return "was not tried for accuracy"
    texts = {suite for _, suite in findings.text_distances}
    if texts.issuperset(findings.study.suites) and (perplexities := _perplexities(findings, name)):
        return f"has {' and '.join(perplexities)}"
    if average.recovery is None:
        return f"keeps an unknown share of {baseline}'s accuracy ({average.reason})"
    return f"keeps {percent(average.recovery)} of {baseline}'s accuracy{told(average.recovery, 'loss', 'gain')}"


def _perplexities(findings: Findings, name: str) -> list[str]:
    """``103.0 % [102.2, 103.7] of BF16's perplexity (a significant rise)``, of each text."""
    gaps = {suite: t.gap for (variant, suite), t in findings.text_distances.items() if variant == name and t.gap}
    baseline = findings.study.label(findings.study.baseline)
    return [
        f"{percent(gap.ratio)} of {baseline}'s perplexity{f' on {suite}' if len(gaps) > 1 else ''}"
        f"{told(gap.ratio, 'fall', 'rise')}"
        for suite, gap in gaps.items()
    ]


def told(estimate: Estimate, below: str = "", above: str = "") -> str:
    """What an interval around a ratio says of 1: a difference that it does not show is not one."""
    if not estimate.bounded:
        return " (n = 1, no CI)"
    if not estimate.excludes(1.0):
        return " (no significant difference)"
    word = below if estimate.value < 1 else above
    return f" (a significant {word})" if word else ""


def _margin(findings: Findings, name: str) -> str:
    average = findings.averages[name]
    if average.recovery is None or findings.study.variants[name].accuracy_of:
        return ""
    over = plural(len(average.suites), "suite")
    return f"Non-inferior at a margin of {100 * findings.study.margin:g} % over {over}: {average.verdict}."


def _wins(findings: Findings, name: str) -> list[str]:
    found = []
    for (variant, suite), rate in findings.win_rates.items():
        if variant == name and rate.win_rate:
            even = "" if rate.win_rate.excludes(0.5) else ", no significant difference from 50 %"
            found.append(f"On {suite} it wins {percent(rate.win_rate)} against {rate.reference}{even}.")
    return found


def _latency(findings: Findings, name: str) -> str | None:
    gain, scenarios = findings.latency.get(name), len(findings.study.scenarios)
    over = f" (E2E, geometric mean of {scenarios} scenarios)" if scenarios > 1 else " (E2E)"
    return f"answers a single stream {times(gain)} as fast{over}{told(gain)}" if gain else None


def _throughput(findings: Findings, name: str) -> str | None:
    gain = findings.throughput.get(name)
    return f"gives {times(gain)} the throughput{told(gain)}" if gain else None


def _capacity(findings: Findings, name: str) -> str | None:
    """Over the scenarios in which the variants compare, else the first scenario that has a ratio or a bound of it."""
    scenarios, means = findings.study.scenarios, findings.speedups[name]
    if gain := means.capacity:
        limits = {slo(scenarios[scenario].slo) for scenario in means.capacity_scenarios}
        count = len(means.capacity_scenarios)
        of = f"{count} scenarios" if count == len(scenarios) else f"{count} of {len(scenarios)} scenarios"
        over = f" (geometric mean of {of})" if count > 1 else f" in {means.capacity_scenarios[0]}"
        limit = limits.pop() if len(limits) == 1 else "each scenario's SLO"
        unsure = WITHIN if means.capacity_within_search else told(gain)
        return f"serves {times(gain)} the requests at {limit}{over}{unsure}"
    for scenario, facts in scenarios.items():
        if found := findings.gains.get((name, scenario)):
            return f"serves {_bare(found)} the requests at {slo(facts.slo)} in {scenario}{_unsure(found)}"
        if ratio := slo_ratio(findings, name, scenario):
            return f"serves {ratio} the requests at {slo(facts.slo)} in {scenario}"
    return None


def slo_ratio(findings: Findings, name: str, scenario: str) -> str | None:
    """``2.10× [1.95, 2.26]``, ``at least 2.16×``, ``at most 0.80×``, ``0.90× to 1.30×`` of the baseline's rate."""
    if gain := findings.gains.get((name, scenario)):
        return capacity_gain(gain)
    base, own = (findings.capacities.get((variant, scenario)) for variant in (findings.study.baseline, name))
    low, high = ratio_bounds(base, own) if base and own else (None, None)
    if low is not None and high is not None and high > 1:
        return f"{low:.2f}× to {high:.2f}×"
    if high is not None:
        return f"at most {high:.2f}×"
    return f"at least {low:.2f}×" if low is not None else None


def _products(findings: Findings, name: str) -> str | None:
    if findings.gemm is None or name not in findings.gemm.means:
        return None
    mean, (batch, most) = findings.gemm.means[name], findings.gemm.highest[name]
    sizes = plural(findings.gemm.counts[name], "batch size")
    return (
        f"multiplies a layer {times(mean)} as fast (geometric mean of {sizes}; at most {times(most)}, at {batch:,})"
        f"{told(mean) if mean.bounded else ''}"
    )


def _bare(found: Gain) -> str:
    return capacity_gain(replace(found, within_search=False))


def _unsure(found: Gain) -> str:
    if found.at_least:
        return ""
    return WITHIN if found.within_search else told(found.estimate)


def capacity_gain(found: Gain | None) -> str:
    """``1.48× [1.44, 1.52]``, or ``at least 1.48×``: a bound of the ratio, from the lower bound of a rate."""
    if found is None:
        return NONE
    if found.at_least:
        return f"at least {found.estimate.value:.2f}×"
    return times(found.estimate) + (" within one search" if found.within_search else "")
