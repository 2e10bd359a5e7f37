"""Win rates that a judge gave, and whether that judge is to be believed.

A win rate is a mean over items, which are independent of each other; each is the mean of its pair's two orders, so that
its interval is a mean's (Student's t), not a share's.
"""

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from harness.analysis.statistics.intervals import Estimate, mean_score, percentile_interval, resample_means, wilson
from harness.analysis.statistics.seeds import seed_of
from harness.analysis.study import Measured, Study
from harness.records.accuracy_result import Counts
from harness.records.judge_details import JudgeDetails, KnownPairs, Standing

Known = TypeVar("Known", bound=KnownPairs)


@dataclass(frozen=True)
class JudgeFacts:
    name: str
    accuracy: Estimate | None  # on pairs with a known better answer
    pairs: int | None
    parse_rate: float | None
    position_bias: Estimate | None  # share of judgements for the answer shown first, minus one half
    same_length: Estimate | None = None  # accuracy on the pairs in which length gives nothing away
    by_kind: dict[str, tuple[Estimate, int]] = field(default_factory=dict)  # kind -> (accuracy, pairs)
    instructions: int | None = None  # that the pairs are of
    published: Standing | None = None
    weakness: str | None = None  # why its win rates are not shown


@dataclass(frozen=True)
class WinRate:
    """`win_rate` is None when it must not be shown; `reason` then says why."""

    variant: str
    suite: str
    win_rate: Estimate | None
    difference: Estimate | None  # to the baseline's win rate against the same published reference, item by item
    items: int
    population: int | None
    source: str
    reference: str
    reason: str | None
    judge: JudgeFacts
    length_difference: float | None
    length_unit: str
    counts: Counts

    @property
    def partial(self) -> bool:
        return self.population is not None and self.items < self.population


def win_rates(study: Study) -> dict[tuple[str, str], WinRate]:
    """By (variant, suite): the mean over items (ties are one half), with its interval against 50 %."""
    found = {}
    for suite in study.suites:
        base = next(iter(study.find("judge", study.baseline, suite)), None)
        for name in study.variants:
            if cells := study.find("judge", name, suite):
                rate = _win_rate(study, cells[0])
                if base is not None and name != study.baseline and rate.win_rate and _win_rate(study, base).win_rate:
                    rate = replace(rate, difference=_difference(study, base, cells[0]))
                found[name, suite] = rate
    return found


def _difference(study: Study, base: Measured, own: Measured) -> Estimate | None:
    """Over the items that the judge could read of both; None where their questions or references differ."""
    values = [_scores(measured) for measured in (base, own)]
    if values[0].keys() != values[1].keys():
        return None
    both = [key for key in values[0] if values[0][key] is not None and values[1][key] is not None]
    if not both:
        return None
    theirs, ours = (np.array([side[key] for key in both], dtype=float) for side in values)
    base_means, own_means = resample_means(theirs, ours, seed_of(study.seed, own.cell.subject, "win rate"))
    return percentile_interval(float(ours.mean() - theirs.mean()), own_means - base_means)


def _scores(measured: Measured) -> dict[tuple, float | None]:
    metric = _metric(measured)
    return {(item.id, item.doc_hash, item.reference): item.scores.get(metric) for item in measured.items()}


def _metric(measured: Measured) -> str:
    return measured.scored.primary or "win_rate"


def _win_rate(study: Study, measured: Measured) -> WinRate:
    result, details = measured.scored, JudgeDetails.from_json(measured.scored.details)
    judge, metric = judge_facts(details), _metric(measured)
    scores = [item.scores.get(metric) for item in measured.items()]
    values = np.array([score for score in scores if score is not None], dtype=float)
    reason = judge.weakness
    if reason is None and not measured.valid:
        reason = "the cell is invalid: " + "; ".join(f.message for f in measured.flags if f.invalid)
    elif not len(values):
        reason = "no judgement is stored"
    return WinRate(
        variant=measured.cell.variant,
        suite=measured.cell.subject,
        win_rate=None if reason else mean_score(values),
        difference=None,
        items=len(values),
        population=result.population,
        source=result.source,
        reference=details.reference or study.label(study.baseline),
        reason=reason,
        judge=judge,
        length_difference=details.length_difference,
        length_unit=details.length_unit,
        counts=result.counts,
    )


def judge_facts(details: JudgeDetails) -> JudgeFacts:
    known = details.calibration
    known = replace(with_interval(known), same_length=with_interval(known.same_length))
    bias = known.position_bias
    kinds = {kind: one for kind, one in known.by_kind.items() if one.tried}
    return JudgeFacts(
        name=details.judge,
        accuracy=_share(known),
        pairs=known.pairs or None,
        parse_rate=details.parse_rate,
        position_bias=None
        if bias is None
        else Estimate(float(bias), known.position_bias_low, known.position_bias_high),
        same_length=_share(known.same_length),
        by_kind={kind: (share, one.pairs or 0) for kind, one in kinds.items() if (share := _share(with_interval(one)))},
        instructions=known.instructions,
        published=known.published,
        weakness=known.weakness,
    )


def with_interval(known: Known) -> Known:
    """An interval that lacks is Wilson's, of independent pairs."""
    if known.accuracy is None or not known.pairs or (known.low is not None and known.high is not None):
        return known
    found = wilson(round(known.accuracy * known.pairs), known.pairs)
    return replace(known, low=found.low, high=found.high)


def _share(known: KnownPairs) -> Estimate | None:
    tried = known.accuracy is not None and known.pairs
    return Estimate(float(known.accuracy or 0.0), known.low, known.high) if tried else None
