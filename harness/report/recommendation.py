"""The answer to "which one do I ship?": a conclusion of one or two sentences, its evidence, and a command."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from harness.analysis import Findings
from harness.analysis.decision.needs import REPEATS, Need
from harness.analysis.decision.recommend import NONE, RUN_MORE, SHIP, Recommendation
from harness.analysis.quality.paired import INCONCLUSIVE, REJECTED
from harness.analysis.validity import simulated
from harness.report.evidence import evidence, gain_words, listed
from harness.report.slo_answer import NOT_TRIED, speed_answer

CLAIMS = {
    "capacity": "serves {gain} the requests of {base} at the SLO",
    "latency": "answers a single stream {gain} as fast as {base}",
    "throughput": "gives {gain} the throughput of {base}",
    "cost": "serves {gain} the tokens of {base} for the same money",
    "size": "is {gain} smaller than {base}",
}
EXPECTED = "This is expected: the simulated engine answers with random words."


@dataclass(frozen=True)
class Conclusion:
    """`headline`: the conclusion. `evidence`: a sentence each. `command`: measures what is lacking, and nothing else
    that is measured already; None where nothing is lacking, or nothing that can be measured."""

    headline: str
    evidence: tuple[str, ...] = ()
    command: str | None = None

    @property
    def text(self) -> str:
        run = (f"Run: {self.command}",) if self.command else ()
        return " ".join([self.headline, *self.evidence, *run])


def recommendation(findings: Findings) -> str | None:
    """Return the conclusion in one line; None for a study that compares nothing."""
    found = conclusion(findings)
    return found.text if found else None


def conclusion(findings: Findings) -> Conclusion | None:
    """None for a study that compares nothing."""
    found = findings.recommendation
    if found is None:
        return None
    mark = "SIMULATED: " if simulated(findings.study) else ""
    if not findings.study.suites:
        none = f"No rate at an SLO: no scenario has an SLO that was searched for or met. {NOT_TRIED}"
        return Conclusion(mark + (speed_answer(findings) or none))
    if not any(candidate.criteria for candidate in found.candidates.values()):
        none = "No recommendation: no suite scored answers item by item, and decision.fidelity has no limit."
        return Conclusion(mark + none)
    return Conclusion(
        mark + HEADLINES[found.outcome](findings, found), evidence(findings, found), _command(findings, found)
    )


def _ship(findings: Findings, found: Recommendation) -> str:
    first, *others = found.ship
    label = findings.study.label
    said = f"Ship {label(first)}: it {_claim(findings, found, first)} and keeps {_kept(findings)}."
    if others:
        rest = listed([f"{label(name)} ({gain_words(findings, found, name)})" for name in others])
        said += f" The difference from {rest} is not established."
    return said


def _run_more(findings: Findings, found: Recommendation) -> str:
    name = found.promising or ""
    said = (
        f"{findings.study.label(name)} looks good: it {_claim(findings, found, name)}. But the evidence is insufficient"
    )
    blocked = [need for need in found.needs if need.why]
    if blocked:
        return f"{said}, and {listed([need.subject or 'repeats' for need in blocked])} cannot decide."
    return f"{said}: measure {listed([_needed(need) for need in found.needs])}."


def _needed(need: Need) -> str:
    if need.unit == REPEATS:
        return f"{need.needed} repeats"
    all_of_them = need.population is not None and need.needed >= need.population
    return f"{'all' if all_of_them else f'{need.needed:,}'} {need.unit} of {need.subject}"


def _none(findings: Findings, found: Recommendation) -> str:
    label = findings.study.label
    if found.acceptable:
        names = listed([label(name) for name in found.acceptable])
        verb = "keeps" if len(found.acceptable) == 1 else "keep"
        return f"No variant qualifies: {names} {verb} {_kept(findings)}, but {_no_gain(findings, found)}."
    by: dict[str, list[str]] = {}
    for name, candidate in found.candidates.items():
        by.setdefault(candidate.status, []).append(label(name))
    parts = [_status(status, labels) for status, labels in by.items()]
    expected = f" {EXPECTED}" if simulated(findings.study) else ""
    return f"No variant qualifies: {'; '.join(parts)}.{expected}"


def _status(status: str, labels: list[str]) -> str:
    several = len(labels) > 1
    if status == INCONCLUSIVE:
        return f"the evidence on {listed(labels)} is insufficient"
    if status == REJECTED:
        return f"{listed(labels)} {'exceed' if several else 'exceeds'} the limits"
    return f"{listed(labels)} {'were' if several else 'was'} not measured on everything that decides"


def _no_gain(findings: Findings, found: Recommendation) -> str:
    slow = [name for name in found.acceptable if name in findings.emulated]
    if found.objective:
        return f"no gain in {listed([name for name, known in found.gains.items() if known])} is established"
    if slow:
        return f"the kernels of {listed([findings.study.label(name) for name in slow])} are emulated here"
    return f"no {' or '.join(findings.study.decision.objective)} was compared"


def _claim(findings: Findings, found: Recommendation, name: str) -> str:
    base = findings.study.label(findings.study.baseline)
    said = CLAIMS[found.objective or "latency"].format(gain=gain_words(findings, found, name), base=base)
    return said + (" per GPU" if findings.study.gpus_differ and found.objective in ("capacity", "throughput") else "")


def _kept(findings: Findings) -> str:
    """What the criteria ask for, in the words of a product manager."""
    study, found = findings.study, findings.recommendation
    accuracy = f"its accuracy within {100 * study.margin:g} %" if found and found.suites else ""
    fidelity = "its fidelity within the limits" if study.decision.fidelity.decides else ""
    return " and ".join(part for part in (accuracy, fidelity) if part)


def _command(findings: Findings, found: Recommendation) -> str | None:
    """The sweep's command with the settings that are lacking; None where they alone would not decide."""
    settings = [need.setting for need in found.needs]
    try:
        arguments = shlex.split(findings.study.command)
    except ValueError:  # a store's command may be anything
        return None
    if not settings or not all(settings) or not any(argument.startswith("+sweep=") for argument in arguments):
        return None
    changed = {str(setting).partition("=")[0] for setting in settings} | {"fresh", "--fresh", "dry_run"}
    kept = [argument for argument in arguments if argument.partition("=")[0] not in changed]
    return shlex.join([*kept, *map(str, settings)])


HEADLINES: dict[str, Callable[[Findings, Recommendation], str]] = {SHIP: _ship, RUN_MORE: _run_more, NONE: _none}
