"""`details` of a judge cell: the judge, and whether it is believed.

It is believed when it finds the better answer of pairs where that is known more often than a coin, also where length
does not give the better answer away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records.fields import Stored

CHANCE = 0.5


@dataclass(frozen=True)
class KnownPairs(Stored):
    """How often a judge prefers the answer that is known to be better, with a 95 % interval."""

    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int | None = None

    @property
    def tried(self) -> bool:
        return self.accuracy is not None and bool(self.pairs)

    @property
    def at_chance(self) -> bool:
        return self.low is None or self.low <= CHANCE

    def __str__(self) -> str:
        if self.accuracy is None:
            return "no known pairs"
        if self.low is None or self.high is None:
            return f"{100 * self.accuracy:.1f} %"
        return f"{100 * self.accuracy:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Standing(Stored):
    """Which of two models is the stronger, by their published win rates in percent: pairs that are known by it only."""

    strong: str = ""
    weak: str = ""
    win_rates: tuple[float, ...] = ()
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Judgement(Stored):
    """What the judge said of one known pair: preference for its better answer, 0 to 1, by the order shown."""

    kind: str = ""
    id: str = ""  # of its instruction
    shown_first: float | None = None
    shown_second: float | None = None


@dataclass(frozen=True)
class Calibration(KnownPairs):
    """What accuracy/alpaca_eval found on all known pairs."""

    instructions: int | None = None  # that the pairs are of
    same_length: KnownPairs = KnownPairs()  # of the pairs in which length gives nothing away
    by_kind: Mapping[str, KnownPairs] = field(default_factory=dict)
    position_bias: float | None = None  # share of judgements for the answer shown first, minus one half
    position_bias_low: float | None = None
    position_bias_high: float | None = None
    parse_rate: float | None = None
    answers_by: str = "reference"
    published: Standing | None = None
    judgements: tuple[Judgement, ...] = ()

    @property
    def weakness(self) -> str | None:
        """Why a judge is not believed; None when it can be told from chance, and not by the length of answers alone."""
        if not self.tried:
            return "the judge was not tried on pairs with a known better answer"
        if self.at_chance:
            return f"the judge is no better than chance on known pairs ({self})"
        if self.same_length.tried and self.same_length.at_chance:
            return (
                f"the judge is no better than chance on known pairs that length does not give away ({self.same_length})"
            )
        return None


@dataclass(frozen=True, kw_only=True)
class JudgeDetails(Stored):
    judge: str = "unnamed"
    judge_commit: str | None = None  # of its weights on the hub
    prompt: str | None = None
    reference: str | None = None  # whose answers the variant's were compared with; None: the baseline's
    parse_rate: float | None = None  # share of its judgements that could be read
    position_bias: float | None = None
    length_difference: float | None = None  # mean over answers, the variant's minus the reference's
    length_unit: str = "characters"
    answer_chars_shown: int | None = None
    calibration: Calibration = Calibration()
    alpaca_eval: Mapping[str, float | str] = field(default_factory=dict)  # its version and figures
