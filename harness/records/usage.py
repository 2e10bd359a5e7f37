"""What a server answered and counted, and what its owner takes for it."""

from dataclasses import dataclass

from harness.records.fields import Stored


@dataclass(frozen=True, kw_only=True)
class Usage(Stored):
    """Requests that were answered, and their tokens by the server's own count."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Cost(Stored):
    """`amount` in `currency`, by the price that was configured."""

    amount: float
    per_million_prompt_tokens: float | None = None
    per_million_completion_tokens: float | None = None
    currency: str
    date: str | None = None  # of the price
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was taken of a server: for a cell, or, in a line of spent.jsonl, for no record."""

    usage: Usage = Usage()
    cost: Cost | None = None


@dataclass(frozen=True, kw_only=True)
class SpentBeside(Stored):
    """A line of spent.jsonl: warm-ups and failed cells."""

    what: str
    usage: Usage
    cost: Cost
