"""Rows of an accuracy or judge cell, one JSON line each: items with their answers, or windows of a scored text.

A name whose value is None is left out of the JSON, but for NULLABLE: readers of other tools expect these in every row.
"""

from dataclasses import dataclass, field

from harness.records.fields import Json, Stored

UNREADABLE = "unreadable"  # finish_reason of an item whose answer no try could read
NULLABLE = frozenset({"group", "prompt_hash", "finish_reason", "completion_tokens"})
_IDENTITY = ("id", "group", "doc_hash")
_ANSWER = ("response", "finish_reason", "completion_tokens", "reasoning", "solution", "parsed", "status")
_GENERATED = (
    *(*_IDENTITY, "instruction", "prompt_hash", "scores", "response", "logprobs", "finish_reason"),
    *("completion_tokens", "extracted", "reasoning", "solution", "parsed", "status", "samples"),
)
_JUDGED = (
    *(*_IDENTITY, "prompt_hash", "instruction", "response", "finish_reason", "completion_tokens", "reasoning"),
    *("scores", "reference", "preference"),
)
_WINDOW = (
    *(*_IDENTITY, "prompt_hash", "scores", "tokens", "logprob_sum", "top_k"),
    *("token_ids", "token_logprobs", "top_ids", "top_logprobs"),
)


@dataclass(frozen=True)
class Preference(Stored):
    """How far an answer is preferred to its reference, 0 to 1, when shown first and when shown second."""

    shown_first: float | None = None
    shown_second: float | None = None

    @property
    def value(self) -> float | None:
        """None unless both could be read: one order alone carries the judge's liking for a position."""
        if self.shown_first is None or self.shown_second is None:
            return None
        return (self.shown_first + self.shown_second) / 2


@dataclass(frozen=True, kw_only=True)
class Answer(Stored):
    """One answer of the model under test."""

    response: str = ""
    finish_reason: str | None = None  # None: nothing was generated
    completion_tokens: int | None = None
    reasoning: str | None = None  # open | closed, where the response has a reasoning block (<think>)
    solution: str | None = None  # the code that was extracted and run
    parsed: bool | None = None  # running it left a function of the asked name
    status: str | None = None  # pass | fail | timeout, or what its sandbox was stopped for

    def to_json(self) -> Json:
        return _object(self, _ANSWER)


@dataclass(frozen=True, kw_only=True)
class Item(Answer):
    """An item with its answer. Items of two variants are paired on `key`.

    Answers that a judge will score have no scores; a judge's own items have `reference` and `preference`.
    """

    id: str  # unique in the suite
    doc_hash: str | None = None  # of the item
    prompt_hash: str | None = None  # of what was sent
    group: str | None = None  # subject
    scores: dict[str, float] = field(default_factory=dict)  # 0..1
    instruction: str | None = None  # where a judge is shown it
    logprobs: dict[str, float] | None = None  # choice -> nats
    extracted: dict[str, str] | None = None  # filter of the task -> the answer that it found
    samples: tuple[Answer, ...] = ()  # all of them, where more than one answer was asked; the item has the first
    reference: str | None = None  # the answer that a judge compared with
    preference: Preference | None = None

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        return self.id, self.doc_hash, self.prompt_hash

    def to_json(self) -> Json:
        return _object(self, _JUDGED if self.preference else _GENERATED)


@dataclass(frozen=True, kw_only=True)
class TextWindow(Stored):
    """A window of a text whose tokens were scored. Arrays are base64 of little-endian uint32 and float32."""

    id: str
    doc_hash: str | None = None
    prompt_hash: str | None = None
    group: None = None
    scores: dict[str, float] = field(default_factory=dict)  # none: no average of recoveries takes a window for an item
    tokens: int  # n that are scored; 0: the answer could not be read
    logprob_sum: float  # nats
    top_k: int  # k
    token_ids: str  # uint32 [n]
    token_logprobs: str  # float32 [n]
    top_ids: str  # uint32 [n, k], the likeliest first
    top_logprobs: str  # float32 [n, k]

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        return self.id, self.doc_hash, self.prompt_hash

    def to_json(self) -> Json:
        return _object(self, _WINDOW)


def _object(value: Stored, names: tuple[str, ...]) -> Json:
    stored = Stored.to_json(value)
    return {name: stored[name] for name in names if stored[name] not in (None, ()) or name in NULLABLE}
