"""The answer of a study without accuracy suites: which variant serves how many requests at the SLO."""

from collections.abc import Iterator

from harness.analysis import Findings
from harness.analysis.speed.capacity import ratio_bounds
from harness.report.words import rate, slo, slo_ratio

NOT_TRIED = "Accuracy was not measured."


def slo_answer(findings: Findings) -> str | None:
    """Return a sentence for each scenario whose rates at the SLO compare; None where none does."""
    said = [sentence for scenario in findings.study.scenarios for sentence in _of_scenario(findings, scenario)]
    if not said:
        return None
    slow = [findings.study.label(name) for name in findings.emulated]
    emulated = f" The kernels of {', '.join(slow)} are emulated: speeds are not representative." if slow else ""
    return f"{' '.join(said)} {NOT_TRIED}{emulated}"


def _of_scenario(findings: Findings, scenario: str) -> Iterator[str]:
    """Yield the variants' ratios to the baseline at the scenario's SLO, the largest lower bound first."""
    study = findings.study
    ratios = {name: ratio for name in study.compared if (ratio := slo_ratio(findings, name, scenario))}
    if not ratios:
        return
    where = f" in {scenario}" if len(study.scenarios) > 1 else ""
    base = rate(findings.capacities[study.baseline, scenario])
    first, *others = sorted(ratios, key=lambda name: -_least(findings, name, scenario))

    def one(name: str) -> str:
        gpus = f", on {study.variants[name].gpus} GPUs" if study.gpus_differ else ""
        return f"{ratios[name]} ({rate(findings.capacities[name, scenario])}/s{gpus})"

    rest = "".join(f"; {study.label(name)} {one(name)}" for name in others)
    yield (
        f"{study.label(first)} serves {one(first)} the requests of {study.label(study.baseline)} ({base}/s) at "
        f"{slo(study.scenarios[scenario].slo)}{where}{rest}."
    )


def _least(findings: Findings, name: str, scenario: str) -> float:
    if gain := findings.gains.get((name, scenario)):
        return gain.estimate.low or gain.estimate.value
    base, own = (findings.capacities[variant, scenario] for variant in (findings.study.baseline, name))
    low, high = ratio_bounds(base, own)
    return low or (high or 0.0) / 1e3  # one with an upper bound alone comes after all others
