"""What the record of an accuracy or judge cell says of all its items."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from harness.records.fields import Stored


@dataclass(frozen=True, kw_only=True)
class Counts(Stored):
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

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        known = {f.name: int(stored[f.name]) for f in fields(cls) if stored.get(f.name) is not None}
        return cls(**{"items": 0} | known)


@dataclass(frozen=True)
class DataRef(Stored):
    """Where the items come from."""

    source: str = ""  # hub | mirror | pocket | text
    name: str = ""
    digest: str = ""  # sha256, or the commit of a dataset on the hub
    population: int | None = None  # items of the whole suite; fewer items make the suite partial

    @property
    def label(self) -> str:
        """Name the data for readers: ``hub openai/gsm8k``, ``pocket/mmlu``."""
        return self.name if self.name.startswith(self.source) else f"{self.source} {self.name}".strip()


@dataclass(frozen=True)
class Score(Stored):
    """A mean over items."""

    value: float
    n: int

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(float(stored["value"]), int(stored["n"]))


def scores_to_json(scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    return {name: score.to_json() for name, score in scores.items()}


@dataclass(frozen=True, kw_only=True)
class AccuracyResult(Stored):
    """`result` of an accuracy or judge cell."""

    primary: str = ""  # name of the primary score: acc, exact_match_flexible, pass@1, win_rate
    scores: dict[str, Score] = field(default_factory=dict)
    counts: Counts = Counts(items=0)
    data: DataRef | None = None
    details: dict[str, Any] = field(
        default_factory=dict
    )  # facts of the suite: few-shot count, chat template, judge and its calibration ...

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"data": self.data.to_json() if self.data else {}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read a result; an older one, or one of a judge, may lack any of it."""
        return super().from_json({name: value for name, value in stored.items() if value})

    @property
    def population(self) -> int | None:
        """Items of the whole suite, where that is known."""
        return self.data.population if self.data else None

    @property
    def source(self) -> str:
        """Where the items come from, for readers."""
        return self.data.label if self.data else ""

    @property
    def greedy(self) -> bool:
        """False for a suite that samples: a temperature above 0, or a `decoding` that is not greedy."""
        decoding = str(self.details.get("decoding") or "greedy")
        return not self.details.get("temperature") and decoding.startswith("greedy")

    @property
    def categories(self) -> dict[str, Score]:
        """MMLU's stem, humanities, social_sciences and other, those with items."""
        found = self.details.get("categories") or {}
        return {name: Score.from_json(score) for name, score in found.items() if score.get("n")}
