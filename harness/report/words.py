"""Numbers and findings in words: every number with its unit and, where there is one, its 95 % interval."""

from dataclasses import dataclass

from harness.analysis import Findings
from harness.analysis.findings import capacity_gain
from harness.analysis.intervals import Estimate
from harness.analysis.readings import AT_LEAST, INTERPOLATED, Reading
from harness.analysis.validity import emulated, simulated

NONE = "–"
SLO_NAMES = {"itl_ms_p99": "p99 ITL", "ttft_ms_p99": "p99 TTFT"}


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
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def size(count: int | None) -> str:
    """Bytes in decimal units, as hubs and disks give them."""
    if not count:
        return NONE
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def p_value(p: float | None) -> str:
    return NONE if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def reading(found: Reading) -> str:
    if found.value is None:
        return found.status
    mark = {AT_LEAST: "≥ ", INTERPOLATED: "≈ "}.get(found.status, "")
    return f"{mark}{number(found.value)}"


def slo(limits: dict[str, float]) -> str:
    """``p99 ITL ≤ 50 ms``"""
    return " and ".join(f"{SLO_NAMES.get(name, name)} ≤ {limit:g} ms" for name, limit in limits.items()) or "no SLO"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True)
class Verdict:
    variant: str
    accuracy: str
    performance: str
    mark: str = ""  # stands before a sentence wherever it is shown: it may be quoted without the page around it

    @property
    def text(self) -> str:
        return f"{self.mark}{self.accuracy} {self.performance}".strip()


def verdicts(findings: Findings) -> list[Verdict]:
    mark = "SIMULATED: " if simulated(findings.study) else ""
    return [
        Verdict(name, _accuracy(findings, name), _performance(findings, name), mark) for name in findings.study.compared
    ]


def _accuracy(findings: Findings, name: str) -> str:
    study, average = findings.study, findings.averages[name]
    label, baseline = study.label(name), study.label(study.baseline)
    if average.recovery is None:
        return f"{label}: how much of {baseline}'s accuracy it keeps is not known ({average.reason})."
    over = f"over {plural(len(average.suites), 'suite')}"
    kept = f"{label} keeps {percent(average.recovery)} of {baseline}'s average accuracy {over}"
    if not average.recovery.excludes(1.0):
        kept += ", no significant difference"
    elif average.recovery.value < 1:
        kept += ", a significant loss"
    else:
        kept += ", a significant gain"
    text = f"{kept}; non-inferior at a margin of {100 * study.margin:g} %: {average.verdict}."
    for (variant, suite), rate in findings.win_rates.items():
        if variant == name and rate.win_rate:
            even = "" if rate.win_rate.excludes(0.5) else ", no significant difference from 50 %"
            text += f" On {suite} it wins {percent(rate.win_rate)} against {rate.reference}{even}."
    return text


def _performance(findings: Findings, name: str) -> str:
    study = findings.study
    parts = []
    if gain := findings.latency.get(name):
        parts.append(_faster(gain, len(study.scenarios)))
    if gain := findings.throughput.get(name):
        parts.append(f"it gives {times(gain)} the throughput{_unsure(gain)}")
    if capacity := _capacity(findings, name):
        parts.append(capacity)
    if not parts:
        return "Its speed was not compared."
    text = ", and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    text = f"{text[0].upper()}{text[1:]}."
    if name in emulated(study):
        text += " Its kernels are emulated on this hardware: these speeds say nothing about hardware that has them."
    return text


def _faster(gain: Estimate, scenarios: int) -> str:
    over = f" (E2E, geometric mean of {scenarios} scenarios)" if scenarios > 1 else " (E2E)"
    if gain.bounded and not gain.excludes(1.0):
        return f"its single-stream latency shows no significant difference: {times(gain)} as fast{over}"
    return f"it answers a single stream {times(gain)} as fast{over}{_unsure(gain)}"


def _unsure(gain: Estimate) -> str:
    if not gain.bounded:
        return " (one run each, no interval)"
    return "" if gain.excludes(1.0) else " (no significant difference)"


def _capacity(findings: Findings, name: str) -> str | None:
    """The first scenario in which the ratio of capacities is known."""
    for scenario, facts in findings.study.scenarios.items():
        if gain := capacity_gain(findings, name, scenario):
            bound = "at least " if gain[1] else ""
            return f"it serves {bound}{gain[0]:.2f}× the requests at {slo(facts.slo)} in {scenario} (no interval)"
    return None
