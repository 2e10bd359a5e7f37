"""Answers inside a reasoning block: thinking models write <think> ... </think> before the answer that is scored.

A block that is never closed (the token limit cut it) leaves no answer to score. Chat templates of some models open the
block themselves, so the end of the prompt belongs to it.
"""

from collections.abc import Collection
from typing import Any

from harness.accuracy.completions import FILTERED, UNREADABLE, UNREADABLE_SHARE
from harness.records.flag import Flag

OPENED, CLOSED = "open", "closed"
BLOCKS = (  # Qwen, DeepSeek, GLM, Nemotron; others; Mistral; Kimi; Seed; Cohere; gpt-oss
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis", "<|channel|>final"),
)


def reasoning_in(answer: str, prompt: str = "") -> str | None:
    """open: the answer ends inside a reasoning block; closed: it has one; None: it has none.

    `prompt`: what was sent, or the end of it; a block that it opens at its very end is the answer's.
    """
    for start, end in BLOCKS:
        if prompt.rstrip().endswith(start) or answer.lstrip().startswith(start):
            return CLOSED if end in answer else OPENED
        if end in answer:
            return CLOSED
    return None


def mark(row: dict[str, Any], prompt: str = "") -> dict[str, Any]:
    """The row with `reasoning` where its response has a reasoning block."""
    found = reasoning_in(row["response"], prompt)
    return row | {"reasoning": found} if found else row


def answer_flags(rows: Collection[dict[str, Any]], limit: str) -> list[Flag]:
    """Flags of generated answers, whatever the suite. `limit`: the setting that bounds their tokens."""
    advice = f". Raise {limit}, or serve the model with thinking turned off in its chat template"
    return (
        _thinking(rows, "the reasoning is scored as part of the answer", advice)
        + _filtered(rows)
        + unreadable_flags([row.get("finish_reason") for row in rows].count(UNREADABLE), len(rows))
    )


def judged_flags(rows: Collection[dict[str, Any]]) -> list[Flag]:
    """Flags of a judge's cell, where answers are shown to the judge as they were generated."""
    return _thinking(rows, "the judge compares the whole text, reasoning included", "")


def _thinking(rows: Collection[dict[str, Any]], what: str, advice: str) -> list[Flag]:
    found = [row.get("reasoning") for row in rows]
    inside, blocks = found.count(OPENED), len(found) - found.count(None)
    if not blocks:
        return []
    message = f"{blocks} of {len(found)} answers contain a reasoning block (<think>); {what}"
    if inside:
        message += f"; {inside} end inside the block and have no answer{advice}"
    return [Flag("thinking", "invalid" if inside > len(found) / 2 else "caution", message)]


def _filtered(rows: Collection[dict[str, Any]]) -> list[Flag]:
    reasons = [row.get("finish_reason") for row in rows]
    count = reasons.count(FILTERED)
    message = f"{count} of {len(reasons)} answers were withheld or cut by the server's content filter"
    return [Flag(FILTERED, "caution", message)] if count else []


def unreadable_flags(count: int, answers: int, counted_as: str = "count as empty") -> list[Flag]:
    message = f"{count} of {answers} answers could not be read and {counted_as}; see the log"
    level = "invalid" if count > UNREADABLE_SHARE * answers else "caution"
    return [Flag(UNREADABLE, level, message)] if count else []
