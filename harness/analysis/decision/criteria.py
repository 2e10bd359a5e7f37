"""The criteria that a variant must meet to be recommended: its scores, its fidelity, and what a judge says of it.

A criterion is established, inconclusive or rejected by a 95 % interval against a limit, or it has no measurement. To
meet all of them each is tested at full level: an intersection-union test needs no correction (R. L. Berger 1982,
Technometrics 24, 295). So the p of a variant is the largest of its criteria's, and Holm's correction over the sweep's
variants holds the chance that any of them is accepted wrongly at ALPHA / 2, one-sided.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.quality.judge import WinRate
from harness.analysis.quality.paired import ESTABLISHED, INCONCLUSIVE, REJECTED
from harness.analysis.quality.texts import TextDistance
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.significance import ALPHA, holm, one_sided_p
from harness.analysis.study import Study

NON_INFERIOR, PERPLEXITY_RATIO, KL, WINS = "non_inferior", "perplexity_ratio", "kl_nats", "win_rate"
NOT_MEASURED = "not measured"
AT_CHANCE = "the baseline is at chance"
LEVEL = ALPHA / 2  # one-sided, over all variants
LOSES_BELOW = 0.5


@dataclass(frozen=True)
class Criterion:
    """`limit`: what the whole interval must be above (recovery) or below (perplexity ratio, KL)."""

    kind: str  # NON_INFERIOR | PERPLEXITY_RATIO | KL | WINS
    suite: str
    limit: float
    status: str  # ESTABLISHED | INCONCLUSIVE | REJECTED | NOT_MEASURED
    estimate: Estimate | None = None
    reason: str | None = None  # of a status that is not the interval's
    p: float | None = None  # one-sided, of the limit
    measured: int = 0  # items, or windows of text
    population: int | None = None  # of the whole suite, or text
    covered: float | None = None  # KL: the probability of the tokens that its lower bound sees one by one

    @property
    def met_by_value(self) -> bool:
        """Whether the estimate itself keeps the limit, whatever its interval."""
        if self.estimate is None:
            return False
        return self.estimate.value >= self.limit if self.kind == NON_INFERIOR else self.estimate.value <= self.limit


@dataclass(frozen=True)
class Candidate:
    """A form of the model and its criteria; `status`: of all of them together."""

    criteria: tuple[Criterion, ...]
    status: str  # ESTABLISHED | INCONCLUSIVE | REJECTED | NOT_MEASURED
    p: float | None = None  # the largest of its criteria's
    p_holm: float | None = None  # corrected for the variants of the sweep

    @property
    def lost_by_correction(self) -> bool:
        """Every criterion is established alone, and not when corrected for the number of variants."""
        return self.status == INCONCLUSIVE and all(c.status == ESTABLISHED for c in self.criteria)

    @property
    def promising(self) -> bool:
        """Undecided, and every estimate keeps its limit."""
        return self.status == INCONCLUSIVE and all(c.met_by_value for c in self.criteria)


def deciding(study: Study, suites: Mapping[tuple[str, str], SuiteResult]) -> tuple[str, ...]:
    """The suites that decide: those of `decision.suites`, else every one that is scored item by item."""
    wanted = study.decision.suites
    if wanted is not None:
        return tuple(name for name in wanted if name not in _judged(study))
    return tuple(suite for suite in study.suites if any(key[1] == suite for key in suites))


def candidates(
    study: Study,
    suites: Mapping[tuple[str, str], SuiteResult],
    win_rates: Mapping[tuple[str, str], WinRate],
    texts: Mapping[tuple[str, str], TextDistance],
) -> dict[str, Candidate]:
    """By form of the model, in the sweep's order."""
    found = {
        name: (
            *(_non_inferior(study, name, suite, suites) for suite in deciding(study, suites)),
            *_fidelity(study, name, texts),
            *_losses(study, name, win_rates),
        )
        for name in study.forms
    }
    p_values = {name: _largest(criteria) for name, criteria in found.items()}
    adjusted = holm({name: p for name, p in p_values.items() if p is not None})
    return {
        name: Candidate(criteria, _together(criteria, adjusted.get(name)), p_values[name], adjusted.get(name))
        for name, criteria in found.items()
    }


def _largest(criteria: tuple[Criterion, ...]) -> float | None:
    """None where a criterion has no p: such a variant cannot be accepted, and costs the others nothing."""
    known = [c.p for c in criteria if c.p is not None]
    return max(known) if known and len(known) == len(criteria) else None


def _together(criteria: tuple[Criterion, ...], p: float | None) -> str:
    statuses = {criterion.status for criterion in criteria}
    for status in (REJECTED, NOT_MEASURED, INCONCLUSIVE):
        if status in statuses:
            return status
    if not criteria:
        return NOT_MEASURED
    return ESTABLISHED if p is not None and p <= LEVEL else INCONCLUSIVE


def _non_inferior(study: Study, name: str, suite: str, suites: Mapping[tuple[str, str], SuiteResult]) -> Criterion:
    result, base, limit = suites.get((name, suite)), suites.get((study.baseline, suite)), 1 - study.margin
    if result is None or result.comparison is None:
        reason = result.not_compared if result else None
        return Criterion(NON_INFERIOR, suite, limit, NOT_MEASURED, reason=reason)
    recovery, status, reason = result.comparison.recovery, result.comparison.verdict, None
    if recovery is None or status is None:
        return Criterion(NON_INFERIOR, suite, limit, NOT_MEASURED, reason="the baseline scored nothing")
    if base and base.at_chance and status != REJECTED:
        status, reason = INCONCLUSIVE, AT_CHANCE
    p = 1.0 if reason else one_sided_p(recovery, limit, above=True)
    return Criterion(NON_INFERIOR, suite, limit, status, recovery, reason, p, result.items, result.population)


def _fidelity(study: Study, name: str, texts: Mapping[tuple[str, str], TextDistance]) -> Iterator[Criterion]:
    """One criterion for each limit and text."""
    limits = study.decision.fidelity
    named = list(dict.fromkeys(suite for _, suite in texts)) or ["perplexity"]
    for suite in named if limits.decides else ():
        found = texts.get((name, suite))
        for kind, limit in ((PERPLEXITY_RATIO, limits.perplexity_ratio), (KL, limits.kl_nats)):
            if limit is not None:
                yield _distance(kind, suite, limit, found)


def _distance(kind: str, suite: str, limit: float, found: TextDistance | None) -> Criterion:
    if found is None or found.gap is None:
        return Criterion(kind, suite, limit, NOT_MEASURED, reason=found.not_compared if found else None)
    gap, windows = found.gap, found.windows
    estimate = gap.ratio if kind == PERPLEXITY_RATIO else gap.kl
    status = INCONCLUSIVE
    if estimate.high is not None and estimate.high < limit:
        status = ESTABLISHED
    elif estimate.low is not None and estimate.low > limit:
        status = REJECTED
    freedom = windows - 1 if windows > 1 else inf
    p = one_sided_p(estimate, limit, above=False, freedom=freedom, on_log=kind == PERPLEXITY_RATIO)
    covered = gap.covered if kind == KL else None
    return Criterion(kind, suite, limit, status, estimate, None, p, windows, found.population, covered)


def _judged(study: Study) -> set[str]:
    return {m.cell.suite for m in study.measured if m.cell.suite and not m.cell.answered_by_variant}


def _losses(study: Study, name: str, win_rates: Mapping[tuple[str, str], WinRate]) -> Iterator[Criterion]:
    """A win rate rules a variant out where its whole interval is below one half; it establishes none."""
    wanted = study.decision.suites
    for (variant, suite), rate in win_rates.items():
        high = rate.win_rate.high if rate.win_rate else None
        if variant == name and high is not None and high < LOSES_BELOW and (wanted is None or suite in wanted):
            yield Criterion(WINS, suite, LOSES_BELOW, REJECTED, rate.win_rate, p=1.0, measured=rate.items)
