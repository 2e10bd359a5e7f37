"""What the record of an accuracy or judge cell says of all its items."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Items of a cell, and how many answers are not what was asked for."""

    items: int
    answers: int | None = None  # what the others are counted of, where an item has several
    truncated: int = 0  # cut at the token limit
    empty: int = 0
    unparsed: int = 0  # no answer could be read from the text
    errors: int = 0
    equal: int | None = None  # pairs of a judge whose two answers are the same
    cut_for_judge: int | None = None  # pairs whose answers the judge was not shown whole

    def to_json(self) -> dict[str, int]:
        return {name: count for name, count in asdict(self).items() if count is not None}


@dataclass(frozen=True)
class DataRef:
    """Where the items come from."""

    source: str  # hub | mirror | pocket | text
    name: str
    digest: str  # sha256, or the commit of a dataset on the hub
    population: int | None  # items of the whole suite; fewer items make the suite partial

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "name": self.name, "digest": self.digest, "population": self.population}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> "DataRef":
        data = data or {}
        return cls(
            str(data.get("source") or ""),
            str(data.get("name") or ""),
            str(data.get("digest") or ""),
            data.get("population"),
        )


@dataclass(frozen=True)
class Score:
    """A mean over items."""

    value: float
    n: int

    def to_json(self) -> dict[str, float]:
        return {"value": self.value, "n": self.n}


@dataclass(frozen=True, kw_only=True)
class AccuracyResult:
    """`result` of an accuracy or judge cell."""

    primary: str  # the score that stands for the suite: acc, exact_match_flexible, pass@1, win_rate
    scores: dict[str, Score]
    counts: Counts
    data: DataRef | None
    details: dict[str, Any]  # facts of the suite: few-shot count, chat template, judge and its calibration ...

    def to_json(self) -> dict[str, Any]:
        return {
            "primary": self.primary,
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "counts": self.counts.to_json(),
            "data": self.data.to_json() if self.data else {},
            "details": self.details,
        }
