"""What a report says of each variant: accuracy and speed in one sentence, then what an engineer asks next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis import Findings
from harness.analysis.speed.capacity import Gain
from harness.analysis.validity import simulated
from harness.report.non_inferiority import difference_words, verdict_words
from harness.report.words import (
    SIMULATED,
    WITHIN,
    capacity_gain,
    percent,
    perplexity_ratio,
    plural,
    slo,
    slo_ratio,
    times,
    told,
)


@dataclass(frozen=True)
class Verdict:
    """`headline`: accuracy and speed in one sentence; `detail`: what an engineer asks next; `uninformative`: the suites
    that do not distinguish variants, and why. Where several are shown together, a mark says it once, and `remarks` the
    rest; `text` may be quoted without the page around it."""

    variant: str
    headline: str
    detail: str
    uninformative: str = ""
    mark: str = ""
    one_run: bool = False  # a ratio has no interval, for want of repeats

    @property
    def bare(self) -> str:
        return f"{self.headline} {self.detail}".strip()

    @property
    def text(self) -> str:
        said = (self.bare, self.uninformative, ONE_RUN if self.one_run else "")
        return f"{self.mark}{' '.join(filter(None, said))}"


ONE_RUN = "Ratios without an interval are of one run each (n = 1, no CI)."


def remarks(shown: Sequence[Verdict]) -> tuple[str, ...]:
    """What holds for several verdicts, once: that an engine was simulated, that ratios are of one run."""
    simulated_words = ("SIMULATED: no model was measured.",) if any(verdict.mark for verdict in shown) else ()
    return (*simulated_words, *((ONE_RUN,) if any(verdict.one_run for verdict in shown) else ()))


def verdicts(findings: Findings) -> list[Verdict]:
    """A verdict on each other form of the model; where there are none, on the baseline's deployments."""
    mark = SIMULATED if simulated(findings.study) else ""
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
    kept = _kept(findings, name)
    said = f"{kept}{joint}{first}" if kept else first if speeds else "was not compared in speed"
    headline = f"{findings.study.label(name)} {said}."
    detail = [verdict_words(findings, name), *_wins(findings, name)]
    detail += [f"It {' and '.join(rest)}."] if rest else []
    if any(not whole.valid for whole in (findings.gemm.wholes.get(name, {}) if findings.gemm else {}).values()):
        detail.append("Its GEMM kernel returned incorrect results on this machine: its speed is not given.")
    if speeds and name in findings.emulated:
        detail.append("Its kernels are emulated here: these speeds are not representative of hardware that has them.")
    gains = (findings.latency.get(name), findings.throughput.get(name), findings.speedups[name].capacity)
    one_run = any(gain is not None and not gain.bounded for gain in gains)
    own_text = " ".join(text for text in detail if text)
    return Verdict(name, headline, own_text, _uninformative(findings, name), mark, one_run)


def _kept(findings: Findings, name: str) -> str:
    """Nothing where no suite distinguishes variants."""
    average, baseline = findings.averages[name], findings.study.label(findings.study.baseline)
    if scored := findings.study.variants[name].accuracy_of:
        return f"is {findings.study.label(scored)}, served in another way"
    if not findings.study.suites:
        return "was not evaluated for accuracy"
    texts = {suite for _, suite in findings.text_distances}
    if texts.issuperset(findings.study.suites) and (perplexities := _perplexities(findings, name)):
        return f"has {' and '.join(perplexities)}"
    if average.uninformative:
        return f"has {' and '.join(perplexities)}" if (perplexities := _perplexities(findings, name)) else ""
    if average.recovery is None:
        return f"has no accuracy recovery ({average.reason})"
    return f"keeps {percent(average.recovery)} of {baseline}'s accuracy{difference_words(findings, average)}"


def _uninformative(findings: Findings, name: str) -> str:
    """Name the suites on which the baseline guesses or scores 0: what is said of accuracy does not rest on them."""
    average = findings.averages[name]
    if not average.left_out or findings.study.variants[name].accuracy_of:
        return ""
    those = "suite does" if len(average.left_out) == 1 else "suites do"
    return f"{average.why_left_out[0].upper()}{average.why_left_out[1:]}: the {those} not distinguish variants."


def _perplexities(findings: Findings, name: str) -> list[str]:
    """``1.030× [1.022, 1.037] BF16's perplexity (a significant rise)``, of each text."""
    gaps = {suite: t.gap for (variant, suite), t in findings.text_distances.items() if variant == name and t.gap}
    baseline = findings.study.label(findings.study.baseline)
    return [
        f"{perplexity_ratio(gap.ratio)} {baseline}'s perplexity{f' on {suite}' if len(gaps) > 1 else ''}"
        f"{told(gap.ratio, 'fall', 'rise')}"
        for suite, gap in gaps.items()
    ]


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
