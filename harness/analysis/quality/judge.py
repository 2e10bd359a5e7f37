"""Win rates that a judge gave, and whether that judge is to be believed.

A judge cell's `details` carry, beside the score:
    judge        name of the judge
    calibration  what calibrate of accuracy/alpaca_eval/judge.py found on pairs with a known better answer: {"accuracy",
                 "low", "high", "pairs", "same_length": the same of pairs in which length gives nothing away, "by_kind":
                 {kind: the same}, "position_bias", "position_bias_low", "position_bias_high", "published", ...}
    parse_rate   share of its judgements that could be read
    length_difference   mean length of the variant's answers minus the reference's, in `length_unit`
    reference    whose answers the variant's were held against

A win rate is a mean over items, which are independent of each other; each is the mean of its pair's two orders, so that
its interval is a mean's (Student's t), not a share's.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.analysis.quality.accuracy import seed_of, source_name
from harness.analysis.statistics.intervals import Estimate, mean_score, percentile_interval, resample_means, wilson
from harness.analysis.study import Measured, Study

CHANCE = 0.5


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
    published: dict[str, Any] | None = None  # of the pairs known by published standing only: strong, weak, source

    @property
    def weakness(self) -> str | None:
        """Why its win rates are not shown; None when it can be told from chance."""
        if self.accuracy is None or self.accuracy.low is None:
            return "the judge was not tried on pairs with a known better answer"
        if self.accuracy.low <= CHANCE:
            return f"the judge is no better than chance on known pairs ({_words(self.accuracy)})"
        if self.same_length is not None and self.same_length.low <= CHANCE:
            return (
                "the judge is no better than chance on known pairs that length does not give away "
                f"({_words(self.same_length)})"
            )
        return None


def _words(share: Estimate) -> str:
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


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
    counts: dict[str, int]

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
    pairs = [np.array([side[key] for key in both], dtype=float) for side in values]
    base_means, own_means = resample_means(*pairs, seed_of(study.seed, own.cell.suite, "win rate"))
    return percentile_interval(float(pairs[1].mean() - pairs[0].mean()), own_means - base_means)


def _scores(measured: Measured) -> dict[tuple, float | None]:
    metric = measured.result.get("primary") or "win_rate"
    rows = measured.load_rows()
    return {(r["id"], r.get("doc_hash"), r.get("reference")): (r.get("scores") or {}).get(metric) for r in rows}


def _win_rate(study: Study, measured: Measured) -> WinRate:
    result, details = measured.result, measured.result.get("details") or {}
    judge, data = judge_facts(details), result.get("data") or {}
    metric = result.get("primary") or "win_rate"
    values = [(row.get("scores") or {}).get(metric) for row in measured.load_rows()]
    values = np.array([value for value in values if value is not None], dtype=float)
    reason = judge.weakness
    if reason is None and not measured.valid:
        reason = "the cell is invalid: " + "; ".join(f["message"] for f in measured.flags if f["level"] == "invalid")
    elif not len(values):
        reason = "no judgement is stored"
    return WinRate(
        variant=measured.cell.variant,
        suite=measured.cell.suite,
        win_rate=None if reason else mean_score(values),
        difference=None,
        items=len(values),
        population=data.get("population"),
        source=source_name(data),
        reference=str(details.get("reference") or study.label(study.baseline)),
        reason=reason,
        judge=judge,
        length_difference=details.get("length_difference"),
        length_unit=str(details.get("length_unit") or "characters"),
        counts={k: int(v) for k, v in (result.get("counts") or {}).items() if isinstance(v, int | float)},
    )


def judge_facts(details: dict[str, Any]) -> JudgeFacts:
    calibration = details.get("calibration") or {}
    pairs = calibration.get("pairs")
    kinds = calibration.get("by_kind") or {}
    bias = calibration.get("position_bias")
    return JudgeFacts(
        name=str(details.get("judge") or "unnamed"),
        accuracy=_share(calibration),
        pairs=int(pairs) if pairs else None,
        parse_rate=details.get("parse_rate"),
        position_bias=None
        if bias is None
        else Estimate(float(bias), calibration.get("position_bias_low"), calibration.get("position_bias_high")),
        same_length=_share(calibration.get("same_length") or {}),
        by_kind={kind: (share, int(one["pairs"])) for kind, one in kinds.items() if (share := _share(one))},
        instructions=calibration.get("instructions"),
        published=calibration.get("published"),
    )


def _share(found: dict[str, Any]) -> Estimate | None:
    """{"accuracy", "low", "high", "pairs"}; an interval that lacks is Wilson's, of independent pairs."""
    value, pairs = found.get("accuracy"), found.get("pairs")
    if value is None or not pairs:
        return None
    if found.get("low") is not None and found.get("high") is not None:
        return Estimate(float(value), float(found["low"]), float(found["high"]))
    return wilson(round(float(value) * int(pairs)), int(pairs))
