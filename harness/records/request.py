"""Rows of a load cell, one JSON line each: a request and when its tokens came."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from harness.records.fields import Stored


class Times(Protocol):
    """A sequence of seconds: a list, a tuple or an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Any: ...


class Timed(ABC):
    """A request that was answered. Seconds since the cell's start; latencies count from the intended send."""

    __slots__ = ()
    intended_s: float  # scheduled; of a later turn and in a closed loop, when its turn came
    token_s: Times  # receive time of each event that carried a token

    @property
    @abstractmethod
    def generated(self) -> int:
        """Tokens of the answer, as the server counts them; by its events where the server does not."""

    @property
    def tpot_s(self) -> float:
        """Seconds from the first token to the last / (tokens - 1). Of an answer of two tokens or more."""
        return float(self.token_s[-1] - self.token_s[0]) / (self.generated - 1)

    @property
    def ttft_s(self) -> float:
        return self.token_s[0] - self.intended_s

    @property
    def e2e_s(self) -> float:
        return self.token_s[-1] - self.intended_s


@dataclass(frozen=True)
class Request(Timed, Stored):
    """The raw columns of a request, from which every metric can be computed again."""

    index: int
    turn: int = 0
    prompt_tokens: int | None = None
    output_tokens: int | None = None  # asked
    intended_s: float = 0.0
    sent_s: float | None = None
    connect_s: float = 0.0
    token_s: Sequence[float] = ()
    end_s: float | None = None
    completion_tokens: int | None = None  # by the server's usage
    error: Mapping[str, Any] | None = None  # {"kind", "message"}

    @property
    def generated(self) -> int:
        return self.completion_tokens or len(self.token_s)

    @property
    def answered(self) -> bool:
        return not self.error and len(self.token_s) > 0

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return super().from_json({"index": 0, **stored})
