"""`details` of a judge cell: the judge, and what it was found to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from harness.records.fields import Stored


@dataclass(frozen=True)
class KnownPairs(Stored):
    """How often a judge prefers the answer that is known to be better, with a 95 % interval."""

    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int | None = None


@dataclass(frozen=True)
class PublishedPairs(Stored):
    """Pairs whose better answer is known by the two models' published standing only."""

    strong: str = ""
    weak: str = ""
    source: str = ""


@dataclass(frozen=True)
class Calibration(KnownPairs):
    """What accuracy/alpaca_eval found on all known pairs."""

    instructions: int | None = None  # that the pairs are of
    position_bias: float | None = None  # share of judgements for the answer shown first, minus one half
    position_bias_low: float | None = None
    position_bias_high: float | None = None
    same_length: KnownPairs = KnownPairs()  # of the pairs in which length gives nothing away
    by_kind: dict[str, KnownPairs] = field(default_factory=dict)
    published: PublishedPairs | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        kinds, published = stored.get("by_kind") or {}, stored.get("published")
        return replace(
            super().from_json(stored),
            same_length=KnownPairs.from_json(stored.get("same_length") or {}),
            by_kind={kind: KnownPairs.from_json(found) for kind, found in kinds.items()},
            published=PublishedPairs.from_json(published) if published else None,
        )


@dataclass(frozen=True)
class JudgeDetails(Stored):
    judge: str = "unnamed"
    calibration: Calibration = Calibration()
    parse_rate: float | None = None  # share of its judgements that could be read
    reference: str | None = None  # whose answers the variant's were compared with; None: the baseline's
    length_difference: float | None = None  # mean over answers, the variant's minus the reference's
    length_unit: str = "characters"

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        found = super().from_json(stored)
        return replace(found, calibration=Calibration.from_json(stored.get("calibration") or {}))
