"""What a recommendation rests on, in sentences: what decided, with its limits, and what is lacking."""

from collections.abc import Iterator

from harness.analysis import Findings
from harness.analysis.decision.criteria import (
    AT_CHANCE,
    KL,
    NON_INFERIOR,
    NOT_MEASURED,
    PERPLEXITY_RATIO,
    WINS,
    Candidate,
    Criterion,
)
from harness.analysis.decision.needs import ITEMS, NO_DISTANCE, REPEATS, WINDOWS, Need
from harness.analysis.decision.recommend import SHIP, Recommendation
from harness.analysis.quality.paired import ESTABLISHED, REJECTED
from harness.report.words import items_needed, measured, percent, times

FEW = 2  # requirements whose numbers are given of every variant that meets them


def evidence(findings: Findings, found: Recommendation) -> tuple[str, ...]:
    return tuple([
        _limits(findings, found),
        *_candidates(findings, found),
        *_objective(findings, found),
        *_cautions(findings, found),
        *(_need(findings, need) for need in found.needs),
    ])  # fmt: skip


def _limits(findings: Findings, found: Recommendation) -> str:
    """What decides, with its limits."""
    study, fidelity = findings.study, findings.study.decision.fidelity
    base = study.label(study.baseline)
    limits = []
    if found.suites:
        limits.append(f"non-inferior to {base} at a {100 * study.margin:g} % margin on {listed(list(found.suites))}")
    if fidelity.perplexity_ratio is not None:
        limits.append(f"perplexity ratio below {fidelity.perplexity_ratio:g}")
    if fidelity.kl_nats is not None:
        limits.append(f"KL below {fidelity.kl_nats:g} nats a token")
    alone = " Fidelity alone decides: no suite does." if not found.suites else ""
    return f"Required: {', '.join(limits)}.{alone}"


def _candidates(findings: Findings, found: Recommendation) -> Iterator[str]:
    """A sentence for each variant; of those that are shipped or look good the numbers, of the others why not."""
    study = findings.study
    chosen = {study.variants[name].accuracy_of or name for name in (*found.ship, *filter(None, [found.promising]))}
    for name, candidate in found.candidates.items():
        label = study.label(name)
        if name in chosen or (candidate.status == ESTABLISHED and len(candidate.criteria) <= FEW):
            yield f"{label}: {'; '.join(_criterion(c) for c in candidate.criteria)}{_corrected(candidate, found)}."
        elif candidate.status == ESTABLISHED:
            yield f"{label}: every requirement is established."
        else:
            lacking = [c for c in candidate.criteria if c.status != ESTABLISHED] or list(candidate.criteria)
            worst = [c for c in lacking if c.status == candidate.status] or lacking
            yield f"{label}: {'; '.join(_criterion(c) for c in worst)}{_corrected(candidate, found)}."


def _corrected(candidate: Candidate, found: Recommendation) -> str:
    if not candidate.lost_by_correction:
        return ""
    return f"; not established when corrected for {len(found.candidates)} variants (Holm)"


def _criterion(criterion: Criterion) -> str:
    """``recovery 99.2 % [98.7, 99.8] on mmlu, established``."""
    if criterion.status == NOT_MEASURED:
        return f"{criterion.suite}: {criterion.reason}" if criterion.reason else f"{criterion.suite} {NOT_MEASURED}"
    value = {
        NON_INFERIOR: lambda: f"recovery {percent(criterion.estimate)} on {criterion.suite}",
        PERPLEXITY_RATIO: lambda: f"perplexity ratio {_three(criterion)} on {criterion.suite}",
        KL: lambda: f"KL {measured(criterion.estimate)} nats a token on {criterion.suite}",
        WINS: lambda: f"wins {percent(criterion.estimate)} on {criterion.suite}",
    }[criterion.kind]()
    seen = f", a lower bound that sees {100 * criterion.covered:.0f} % of the probability" if criterion.covered else ""
    reason = f" ({criterion.reason})" if criterion.reason else ""
    return f"{value}{seen}, {criterion.status}{reason}"


def _three(criterion: Criterion) -> str:
    """Three digits: a limit of 1.02 is not read from two."""
    estimate = criterion.estimate
    if estimate is None:
        return ""
    ends = f" [{estimate.low:.3f}, {estimate.high:.3f}]" if estimate.low and estimate.high else ""
    return f"{estimate.value:.3f}{ends}"


def _objective(findings: Findings, found: Recommendation) -> Iterator[str]:
    asked = findings.study.decision.objective
    order = f"{', then '.join(asked)}: the first that improves decides" if len(asked) > 1 else asked[0]
    said = f"Objective: {order}."
    before = asked[: asked.index(found.objective)] if found.objective else ()
    if found.outcome == SHIP and (without := [name for name in before if name in found.gains]):
        said += f" No gain in {listed(without)} is established."
    if found.outcome != SHIP and found.acceptable:
        gains = [
            f"{findings.study.label(name)} {gain_words(findings, found, name, objective)} in {objective}"
            for objective, known in found.gains.items()
            for name in known
            if name in found.acceptable
        ]
        said += f" Gains: {'; '.join(gains)}." if gains else ""
    yield said


def _cautions(findings: Findings, found: Recommendation) -> Iterator[str]:
    """What speaks against the variant that is shipped, or looks good, and does not decide."""
    study = findings.study
    for name in (*found.ship[:1], *filter(None, [found.promising])):
        own = study.variants[name].accuracy_of or name
        worse = [
            suite
            for (variant, suite), result in findings.suites.items()
            if variant == own and suite not in found.suites and result.comparison
            and result.comparison.verdict == REJECTED
        ]  # fmt: skip
        if worse:
            yield f"It is rejected on {listed(worse)}, which {'does' if len(worse) == 1 else 'do'} not decide."
        if found.objective == "size" and name in findings.emulated:
            yield "Its kernels are emulated here: its speed is not known."
        elif found.objective == "size" and (speed := findings.latency.get(name)) and speed.high and speed.high < 1:
            yield f"It is slower: {times(speed)} the single-stream speed."


def _need(findings: Findings, need: Need) -> str:
    study = findings.study
    if need.unit == REPEATS:
        if need.why:
            return f"The gain is too small to establish with {need.needed} repeats."
        return f"{need.needed} repeats give the gain an interval; what is measured is kept."
    if need.why == AT_CHANCE:
        label = study.label(study.baseline)
        return (
            f"{need.subject} cannot decide: {label} is at chance. Use an easier suite, leave it out of "
            "decision.suites, or set decision.fidelity (suite perplexity)."
        )
    if need.why == NO_DISTANCE:
        return f"{need.subject}: the estimate is too near its limit for more {need.unit} to decide."
    who = "an equivalent variant" if need.unit == ITEMS else "this estimate"
    if need.why:
        if need.unit == WINDOWS:
            return (
                f"{need.subject} cannot decide at this limit: {who} would need {items_needed(need.span)} windows, and "
                f"its text has {need.population:,}. Set a longer text (suites.{need.subject}.text), or a higher limit."
            )
        smaller = f"Set decision.margin={need.margin:g}, use" if need.margin else "Use"
        return (
            f"{need.subject} cannot decide at this limit: {who} would need {items_needed(need.span)} {need.unit}, and "
            f"it has {need.population:,}. {smaller} a larger suite, or set decision.fidelity (suite perplexity)."
        )
    return (
        f"{who[0].upper() + who[1:]} would need {items_needed(need.span)} {need.unit} of {need.subject} (this run used "
        f"{need.measured:,}); another number is another subset, so {need.subject} is measured again, and nothing else."
    )


def gain_words(findings: Findings, found: Recommendation, name: str, objective: str | None = None) -> str:
    """``1.48× [1.44, 1.52]``, ``1.40× (n = 1, no CI)``, ``2.10×`` of an exact size."""
    gain = found.gains[objective or found.objective or ""][name]
    if gain.exact:
        return f"{gain.estimate.value:.2f}×"
    if not gain.estimate.bounded:
        return f"{times(gain.estimate)} (n = 1, no CI)"
    return times(gain.estimate) + (" within one search" if gain.within_search else "")


def listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
