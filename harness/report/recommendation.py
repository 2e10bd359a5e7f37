"""The answer to "which one do I ship?", in one or two sentences."""

from harness.analysis import Findings
from harness.analysis.decision.recommend import Recommendation, Wanted
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.validity import simulated
from harness.report.slo_answer import NOT_TRIED, slo_answer
from harness.report.words import items_needed, times

NOUNS = {"capacity": "capacity at the SLO", "latency": "single-stream latency", "throughput": "throughput"}
CLAIMS = {
    "capacity": "serves {} the requests at the SLO",
    "latency": "answers a single stream {} as fast",
    "throughput": "gives {} the throughput",
}
FIDELITY = "or fidelity metrics (suite perplexity)"


def recommendation(findings: Findings) -> str | None:
    """None for a study that compares nothing."""
    found = findings.recommendation
    if found is None:
        return None
    if not findings.study.suites and (served := slo_answer(findings)):
        return ("SIMULATED: " if simulated(findings.study) else "") + served
    said = _ship(findings, found, found.measure) if found.ship and found.measure else _none(findings, found)
    return ("SIMULATED: " if simulated(findings.study) else "") + said


def _ship(findings: Findings, found: Recommendation, measure: str) -> str:
    first, *others = found.ship
    label, study = findings.study.label, findings.study
    claim = CLAIMS[measure].format(times(found.gains[first]))
    said = f"Ship {label(first)}: it is {_safe(findings, found)}, and {claim}."
    if others:
        rest = _listed([f"{label(name)} ({times(found.gains[name])})" for name in others])
        said += f" {rest} {'is' if len(others) == 1 else 'are'} not told apart from it."
    per_gpu = measure != "latency" and study.gpus_differ
    return said + (" Per GPU." if per_gpu else "")


def _none(findings: Findings, found: Recommendation) -> str:
    label = findings.study.label
    if not findings.study.suites:
        return f"No rate at an SLO: no scenario has an SLO that was searched for or met. {NOT_TRIED}"
    if not found.suites:
        return "No recommendation: no suite scored answers item by item."
    if not found.safe:
        why = "; ".join(f"{label(name)}, {reason}" for name, reason in found.ruled_out.items())
        said = f"No recommendation: no variant is established as {_bound(findings)} on every suite ({why})."
        return " ".join([said, *_undecided(findings, found)])
    safe = _listed([label(name) for name in found.safe])
    head = f"No recommendation: {safe} {'is' if len(found.safe) == 1 else 'are'} {_safe(findings, found)}"
    if found.measure is None:
        slow = [label(name) for name in found.safe if name in findings.emulated]
        why = f"the kernels of {_listed(slow)} are emulated here" if slow else "no speed was compared"
        return f"{head}, but {why}."
    gains = _listed([f"{label(name)} {_gain(gain, name in found.within_search)}" for name, gain in found.gains.items()])
    return f"{head}, but no gain in {NOUNS[found.measure]} is established: {gains}."


def _undecided(findings: Findings, found: Recommendation) -> list[str]:
    """What more items would decide; and the suites that decide nothing at any size they have, with what would."""
    study = findings.study
    bases = (findings.suites.get((study.baseline, suite)) for suite in found.suites)
    guessed = [base.suite for base in bases if base and base.at_chance]
    wanted = {suite: each for suite, each in found.wanted.items() if suite not in guessed}
    needed = [_wanted(suite, each) for suite, each in wanted.items() if not _too_small(each)]
    said = [f"An equivalent variant would need {_listed(needed)}."] if needed else []
    said += [
        f"{suite} cannot decide at a {100 * study.margin:g} % margin: an equivalent variant would need "
        f"{items_needed(each.span)} items, and it has {each.population:,}; "
        f"use a larger suite, a larger margin, {FIDELITY}."
        for suite, each in wanted.items()
        if _too_small(each)
    ]
    label = study.label(study.baseline)
    return said + [
        f"{suite} cannot decide: {label} is at chance; use an easier suite, {FIDELITY}." for suite in guessed
    ]


def _too_small(wanted: Wanted) -> bool:
    """Whether all of the suite's items are fewer than an equivalent variant needs, by the most hopeful estimate."""
    return wanted.population is not None and (wanted.span[0] or wanted.items) > wanted.population


def _wanted(suite: str, wanted: Wanted) -> str:
    population = wanted.population
    lacking = f" (it has {population:,})" if population is not None and wanted.items > population else ""
    return f"{items_needed(wanted.span)} items of {suite}{lacking}"


def _gain(gain: Estimate, within_search: bool) -> str:
    if gain.bounded:
        return times(gain) + (" within one search" if within_search else "")
    return f"{times(gain)} (n = 1, no CI)"


def _safe(findings: Findings, found: Recommendation) -> str:
    return f"established as {_bound(findings)} on {_listed(list(found.suites))}"


def _bound(findings: Findings) -> str:
    study = findings.study
    return f"non-inferior to {study.label(study.baseline)} at a {100 * study.margin:g} % margin"


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
