"""The answer of a study without accuracy suites: how many requests at the SLO, or how fast."""

from harness.analysis import Findings
from harness.analysis.speed.capacity import ratio_bounds
from harness.report.latency_answer import latency_answer, on_speed
from harness.report.words import rate, slo, slo_ratio

NOT_TRIED = "Accuracy was not measured."


def speed_answer(findings: Findings) -> str | None:
    """Return for each scenario what its rates at the SLO say, else its latencies; None where nothing compares."""
    found = (_at_slo(findings, name) or latency_answer(findings, name) for name in findings.study.scenarios)
    said = [sentence for sentence in found if sentence]
    if not said:
        return None
    slow = [findings.study.label(name) for name in findings.emulated]
    emulated = f" The kernels of {', '.join(slow)} are emulated: speeds are not representative." if slow else ""
    return f"{' '.join(said)} {NOT_TRIED}{emulated}"


def _at_slo(findings: Findings, scenario: str) -> str | None:
    """Return the variants' ratios to the baseline at the scenario's SLO, the largest lower bound first."""
    study = findings.study
    ratios = {name: ratio for name in study.compared if (ratio := slo_ratio(findings, name, scenario))}
    if not ratios:
        return None
    where = f" in {scenario}" if len(study.scenarios) > 1 else ""
    base = rate(findings.capacities[study.baseline, scenario])
    first, *others = sorted(ratios, key=lambda name: -_least(findings, name, scenario))

    def one(name: str) -> str:
        gpus = f", on {study.variants[name].gpus} GPUs" if study.gpus_differ else ""
        return f"{ratios[name]} ({rate(findings.capacities[name, scenario])}/s{gpus})"

    rest = "".join(f"; {study.label(name)} {one(name)}" for name in others)
    said = on_speed(study.label(first), study.label(study.baseline), *_bounds(findings, first, scenario))
    return (
        f"{said}{study.label(first)} serves {one(first)} the requests of {study.label(study.baseline)} ({base}/s) at "
        f"{slo(study.scenarios[scenario].slo)}{where}{rest}."
    )


def _bounds(findings: Findings, name: str, scenario: str) -> tuple[float | None, float | None]:
    """Return (low, high) of variant / baseline."""
    if gain := findings.gains.get((name, scenario)):
        low = gain.estimate.value if gain.at_least and gain.estimate.low is None else gain.estimate.low
        return low, gain.estimate.high
    base, own = (findings.capacities[variant, scenario] for variant in (findings.study.baseline, name))
    return ratio_bounds(base, own)


def _least(findings: Findings, name: str, scenario: str) -> float:
    if gain := findings.gains.get((name, scenario)):
        return gain.estimate.low or gain.estimate.value
    low, high = _bounds(findings, name, scenario)
    return low or (high or 0.0) / 1e3  # one with an upper bound alone comes after all others
