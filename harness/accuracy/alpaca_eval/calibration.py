"""Whether a judge is believed: how often it finds the better answer of pairs where that is known.

It is believed when it does so more often than a coin, also where length does not give the better answer away.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.accuracy import Context
from harness.accuracy.alpaca_eval.both_orders import both_orders, hit, judgements, parse_rate
from harness.accuracy.alpaca_eval.judge_prompts import KINDS, SAME_LENGTH, KnownPair, known_pairs
from harness.accuracy.alpaca_eval.references import Reference, Standing
from harness.accuracy.context_length import served_context_length
from harness.config.schema import Judge
from harness.records.item import Preference

CHANCE = 0.5


@dataclass(frozen=True)
class Found:
    """The share of known pairs whose better answer a judge finds.

    The interval is clustered by instruction, because the pairs of one instruction are not independent.
    """

    accuracy: float | None = None
    low: float = 0.0
    high: float = 1.0
    pairs: int = 0

    @property
    def at_chance(self) -> bool:
        return self.low <= CHANCE

    def __str__(self) -> str:
        if self.accuracy is None:
            return "no known pairs"
        return f"{100 * self.accuracy:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """`calibration` in the details of a judge cell."""

    overall: Found
    instructions: int = 0
    same_length: Found = Found()  # over the pairs in which length gives nothing away
    by_kind: dict[str, Found] = field(default_factory=dict)
    position_bias: float | None = None  # share of judgements for the answer shown first, minus one half
    position_bias_low: float | None = None
    position_bias_high: float | None = None
    parse_rate: float | None = None
    answers_by: str = "reference"
    published: Standing | None = None  # of the pairs that are known by published standing
    judgements: tuple[tuple[KnownPair, Preference], ...] = ()

    @property
    def weakness(self) -> str | None:
        """Why a judge is not believed; None when it can be told from chance, and not by the length of answers alone."""
        if not self.overall.pairs:
            return "the judge was not tried on pairs with a known better answer"
        if self.overall.at_chance:
            return f"the judge is no better than chance on known pairs ({self.overall})"
        if self.same_length.pairs and self.same_length.at_chance:
            return (
                f"the judge is no better than chance on known pairs that length does not give away ({self.same_length})"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self.overall),
            "instructions": self.instructions,
            "same_length": asdict(self.same_length),
            "by_kind": {kind: asdict(found) for kind, found in self.by_kind.items()},
            "position_bias": self.position_bias,
            "position_bias_low": self.position_bias_low,
            "position_bias_high": self.position_bias_high,
            "parse_rate": self.parse_rate,
            "answers_by": self.answers_by,
            "published": self.published.to_json() if self.published else None,
            "judgements": [
                {"kind": known.kind, "id": known.instruction_id, **preference.to_json()}
                for known, preference in self.judgements
            ],
        }


def calibrate(
    context: Context,
    judge: Judge,
    answers: Sequence[Reference],
    seed: int,
    weak: Sequence[Reference] = (),
    published: Standing | None = None,
) -> Calibration:
    """Ask the judge which answer of known pairs is the better one, both orders taken together (judge_prompts.py).

    A tie, or a pair that cannot be read, is half found: a coin. `published` says whose `answers` and `weak` are, and
    where their standing is published.
    """
    known = known_pairs(answers, judge.prompt, seed, judge.calibration_items, weak)
    judged = both_orders(context, judge, [one.pair for one in known], served_context_length(context.server))
    hits = [(one.kind, one.instruction_id, hit(result.value)) for one, result in zip(known, judged, strict=True)]
    votes = [
        (one.instruction_id, hit(vote))
        for one, result in zip(known, judged, strict=True)
        for vote in judgements([result])
        if vote is not None
    ]
    bias = _share([vote for _, vote in votes], [instruction for instruction, _ in votes])
    kinds = [kind for kind in KINDS if any(name == kind for name, _, _ in hits)]
    return Calibration(
        overall=_found(hits, KINDS),
        instructions=len({one.instruction_id for one in known}),
        same_length=_found(hits, SAME_LENGTH),
        by_kind={kind: _found(hits, (kind,)) for kind in kinds},
        position_bias=None if bias is None else bias.value - 0.5,
        position_bias_low=None if bias is None else bias.low - 0.5,
        position_bias_high=None if bias is None else bias.high - 0.5,
        parse_rate=parse_rate(judged),
        answers_by=next((one.generator for one in answers if one.generator), "reference"),
        published=published if weak else None,
        judgements=tuple(zip(known, judged, strict=True)),
    )


def _found(hits: list[tuple[str, str, float]], kinds: tuple[str, ...]) -> Found:
    """`hits`: (kind, instruction, found or not)."""
    chosen = [(instruction, hit) for kind, instruction, hit in hits if kind in kinds]
    share = _share([hit for _, hit in chosen], [instruction for instruction, _ in chosen])
    return Found() if share is None else Found(share.value, share.low, share.high, len(chosen))


def _share(values: list[float], clusters: list[str]) -> Any:
    """An Estimate; None for no values."""
    # scipy: not for the planner, which imports this module
    from harness.analysis.statistics.clustered import clustered_share

    return clustered_share(values, clusters) if values else None
