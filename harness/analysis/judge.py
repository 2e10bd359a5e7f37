"""Win rates that a judge gave, and whether that judge is to be believed.

A judge cell's `details` carry, beside the score:
    judge        name of the judge
    calibration  {"accuracy": share of pairs with a known better answer that it got right, "low", "high", "pairs"}
    parse_rate   share of its judgements that could be read
    length_difference   mean length of the variant's answers minus the reference's, in `length_unit`
    reference    whose answers the variant's were held against
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.accuracy import source_name
from harness.analysis.intervals import Estimate, mean_score, wilson
from harness.analysis.study import Measured, Study

CHANCE = 0.5


@dataclass(frozen=True)
class JudgeFacts:
    name: str
    accuracy: Estimate | None  # on pairs with a known better answer
    pairs: int | None
    parse_rate: float | None
    position_bias: float | None  # share of judgements for the first answer, minus one half

    @property
    def weakness(self) -> str | None:
        """Why its win rates are not shown; None when it can be told from chance."""
        if self.accuracy is None or self.accuracy.low is None:
            return "the judge was not tried on pairs with a known better answer"
        if self.accuracy.low <= CHANCE:
            low, high = 100 * self.accuracy.low, 100 * self.accuracy.high
            return (
                "the judge is no better than chance on known pairs "
                f"({100 * self.accuracy.value:.1f} % [{low:.1f}, {high:.1f}])"
            )
        return None


@dataclass(frozen=True)
class WinRate:
    """`win_rate` is None when it must not be shown; `reason` then says why."""

    variant: str
    suite: str
    win_rate: Estimate | None
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
        for name in study.variants:
            if cells := study.find("judge", name, suite):
                found[name, suite] = _win_rate(study, cells[0])
    return found


def _win_rate(study: Study, measured: Measured) -> WinRate:
    result, details = measured.result, measured.result.get("details") or {}
    judge, data = judge_facts(details), result.get("data") or {}
    metric = result.get("primary") or "win_rate"
    values = [(row.get("scores") or {}).get(metric) for row in measured.load_rows()]
    values = np.array([value for value in values if value is not None], dtype=float)
    reason = judge.weakness
    if not measured.valid:
        reason = "the cell is invalid: " + "; ".join(f["message"] for f in measured.flags if f["level"] == "invalid")
    elif not len(values):
        reason = "no judgement is stored"
    return WinRate(
        variant=measured.cell.variant,
        suite=measured.cell.suite,
        win_rate=None if reason else mean_score(values),
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
    value, pairs = calibration.get("accuracy"), calibration.get("pairs")
    accuracy = None
    if value is not None and calibration.get("low") is not None:
        accuracy = Estimate(float(value), float(calibration["low"]), float(calibration["high"]))
    elif value is not None and pairs:
        accuracy = wilson(round(float(value) * int(pairs)), int(pairs))
    return JudgeFacts(
        name=str(details.get("judge") or "unnamed"),
        accuracy=accuracy,
        pairs=int(pairs) if pairs else None,
        parse_rate=details.get("parse_rate"),
        position_bias=calibration.get("position_bias"),
    )
