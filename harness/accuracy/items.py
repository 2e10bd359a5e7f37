"""What suites have in common: the seeded subset of their items, hashes, counts, and the outcome made of them."""

import hashlib
import json
import random
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from harness.accuracy.completions import Completion
from harness.accuracy.reasoning import reasoning_in
from harness.errors import ConfigError
from harness.records import Outcome
from harness.records.accuracy_result import AccuracyResult, Counts, Score
from harness.records.flag import Flag
from harness.records.item import UNREADABLE, Answer, Item, TextWindow

T = TypeVar("T")


def digest(value: Any) -> str:
    """sha256 of a JSON value: `doc_hash` and `prompt_hash` of an item."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def check_items(name: str, items: int | None) -> None:
    if items is not None and items < 1:
        raise ConfigError(f"suite {name}: items must be at least 1 or null: {items}")


def subset(population: Sequence[T], items: int | None, seed: int) -> list[T]:
    """`items` of them at random, the same for every variant, in their own order."""
    if items is None or items >= len(population):
        return list(population)
    chosen = set(random.Random(f"subset {seed}").sample(range(len(population)), items))
    return [one for index, one in enumerate(population) if index in chosen]


def answer_of(said: Completion, prompt_end: str) -> Answer:
    """`prompt_end`: the end of what was sent, where a chat template may open a reasoning block."""
    return Answer(
        response=said.text,
        finish_reason=said.finish_reason,
        completion_tokens=said.completion_tokens,
        reasoning=reasoning_in(said.text, prompt_end),
    )


def mean_scores(items: Collection[Item]) -> dict[str, Score]:
    """The mean of every score over the items that have it."""
    names = dict.fromkeys(name for item in items for name in item.scores)
    values = {name: [item.scores[name] for item in items if name in item.scores] for name in names}
    return {name: Score(sum(of) / len(of), len(of)) for name, of in values.items()}


def count_answers(items: int, answers: Collection[Answer], unparsed: int = 0) -> Counts:
    return Counts(
        items=items,
        truncated=sum(answer.finish_reason == "length" for answer in answers),
        empty=sum(not answer.response.strip() for answer in answers),
        unparsed=unparsed,
        errors=sum(answer.finish_reason == UNREADABLE for answer in answers),
    )


def truncation_flags(counts: Counts, max_tokens: int) -> list[Flag]:
    if not counts.truncated:
        return []
    message = f"{counts.truncated} of {counts.answers or counts.items} answers were cut at {max_tokens} tokens"
    return [Flag("truncated", "caution", message)]


def outcome(result: AccuracyResult, rows: Collection[Item] | Collection[TextWindow], flags: list[Flag]) -> Outcome:
    return Outcome(result, [row.to_json() for row in rows], flags)
