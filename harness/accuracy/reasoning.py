"""Answers inside a reasoning block: thinking models write <think> ... </think> before the answer that is scored.

A block that is never closed (the token limit cut it) leaves no answer to score. Chat templates of some models open the
block themselves, so the end of the prompt belongs to it.
"""

from collections.abc import Collection

from harness.accuracy.completions import FILTERED, UNREADABLE_SHARE
from harness.records.flag import Flag
from harness.records.item import UNREADABLE, Answer

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


def answer_flags(answers: Collection[Answer], limit: str) -> list[Flag]:
    """Flags of generated answers, whatever the suite. `limit`: the setting that bounds their tokens."""
    advice = f". Raise {limit}, or serve the model with thinking turned off in its chat template"
    thinking = _thinking(answers, "the reasoning is scored as part of the answer", advice)
    unreadable = sum(answer.finish_reason == UNREADABLE for answer in answers)
    return thinking + _filtered(answers) + unreadable_flags(unreadable, len(answers))


def judged_flags(answers: Collection[Answer]) -> list[Flag]:
    """Flags of a judge's cell, where answers are shown to the judge as they were generated."""
    return _thinking(answers, "the judge compares the whole text, reasoning included", "")


def _thinking(answers: Collection[Answer], what: str, advice: str) -> list[Flag]:
    found = [answer.reasoning for answer in answers]
    inside, blocks = found.count(OPENED), len(found) - found.count(None)
    if not blocks:
        return []
    message = f"{blocks} of {len(found)} answers contain a reasoning block (<think>); {what}"
    if inside:
        message += f"; {inside} end inside the block and have no answer{advice}"
    return [Flag("thinking", "invalid" if inside > len(found) / 2 else "caution", message)]


def _filtered(answers: Collection[Answer]) -> list[Flag]:
    reasons = [answer.finish_reason for answer in answers]
    count = reasons.count(FILTERED)
    message = f"{count} of {len(reasons)} answers were withheld or cut by the server's content filter"
    return [Flag(FILTERED, "caution", message)] if count else []


def unreadable_flags(count: int, answers: int, counted_as: str = "count as empty") -> list[Flag]:
    message = f"{count} of {answers} answers could not be read and {counted_as}; see the log"
    level = "invalid" if count > UNREADABLE_SHARE * answers else "caution"
    return [Flag(UNREADABLE, level, message)] if count else []
