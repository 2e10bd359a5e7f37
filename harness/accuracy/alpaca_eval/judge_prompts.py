"""What a judge is asked: one instruction, two answers, which is better. And pairs of which one answer is known to be.

chat: alpaca-eval's own template (weighted_alpaca_eval_gpt4_turbo), for an instruction-tuned judge.
few_shot: the same question as a text that a base model continues with m or M.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from harness.accuracy.alpaca_eval.package import package_folder
from harness.accuracy.alpaca_eval.references import Reference
from harness.errors import ConfigError, did_you_mean

STYLES = ("chat", "few_shot")
ANSWER_CHARS = {"chat": 6000, "few_shot": 320}  # shown to the judge; a small base model reads no long text
INSTRUCTION_CHARS = {"chat": 6000, "few_shot": 320}
FEWEST_CHARS_PER_TOKEN = 2.5  # so few of code or figures; prose has 4
SHORTEST_TO_CUT = 60  # characters; a quarter of less is not known to be worse
FEWEST_TO_SHUFFLE = 8  # words; fewer may still make sense in another order
KINDS = ("other", "truncated", "shuffled", "published")
SAME_LENGTH = ("other", "shuffled")  # kinds that a judge which only likes long answers cannot find

_EXAMPLES = [
    ("What is the capital of Japan?", "The capital of Japan is Tokyo.", "Bananas are rich in potassium.", "m"),
    ("Write one sentence about the sea.", "The", "The sea was calm and silver in the morning.", "M"),
    ("How many legs does a spider have?", "I like the color blue best.", "A spider has eight legs.", "M"),
    ("Give a tip for sleeping well.", "Go to bed at the same time every night.", "Go to bed at", "m"),
]


@dataclass(frozen=True)
class Pair:
    """Two answers in the order in which the judge sees them."""

    instruction: str
    first: str
    second: str

    @property
    def swapped(self) -> "Pair":
        return Pair(self.instruction, self.second, self.first)


@lru_cache(maxsize=4)
def template(style: str) -> str:
    """With {instruction}, {output_1} and {output_2}, filled in by alpaca-eval; m is output_1."""
    if style == "chat":
        return (package_folder() / "evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt").read_text()
    if style == "few_shot":
        head = "Each question has two answers, by model m and by model M. The better one is on topic and complete.\n\n"
        shots = "".join(_shot(*example) + "\n\n" for example in _EXAMPLES)
        return head + shots + _shot("{instruction}", "{output_1}", "{output_2}", "").rstrip()
    raise ConfigError(f"unknown judge.prompt {style!r}{did_you_mean(style, list(STYLES))}")


def _shot(instruction: str, first: str, second: str, better: str) -> str:
    return f"Question: {instruction}\nAnswer m: {first}\nAnswer M: {second}\nBetter answer: {better}"


def shown(pair: Pair, style: str, context_tokens: int | None = None) -> Pair:
    """As the judge sees it: answers cut to `answer_chars`, without marks that the template would read as its own."""
    limit = answer_chars(pair, style, context_tokens)
    instruction = _shown(pair.instruction, style, INSTRUCTION_CHARS[style])
    return Pair(instruction, *(_shown(text, style, limit) for text in (pair.first, pair.second)))


def answer_chars(pair: Pair, style: str, context_tokens: int | None = None) -> int:
    """How much of each answer is shown: the style's length; less where the judge's context might not hold the two."""
    limit = ANSWER_CHARS[style]
    if context_tokens is None:
        return limit
    instruction = min(len(pair.instruction), INSTRUCTION_CHARS[style])
    room = int((context_tokens - 1) * FEWEST_CHARS_PER_TOKEN) - len(template(style)) - instruction
    fits = min(len(pair.first), limit) + min(len(pair.second), limit) <= room
    return limit if fits else max(0, min(limit, room // 2))


def _shown(text: str, style: str, limit: int) -> str:
    text = " ".join(text.split()) if style == "few_shot" else text.strip()
    text = cut(text, limit)
    return text.replace("{output_", "{ output_").replace("<|im_", "< |im_")


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0] + " ..."


@dataclass(frozen=True)
class KnownPair:
    """`pair` has its better answer first. Pairs of one instruction are not independent of each other."""

    kind: str
    instruction_id: str
    pair: Pair


def known_pairs(
    answers: Sequence[Reference], style: str, seed: int, items: int, weak: Sequence[Reference] = ()
) -> list[KnownPair]:
    """Pairs of `items` of the answers at most, drawn with the seed.

    other       an answer against the answer to another instruction
    truncated   an answer against its own first quarter, of what the judge is shown of it
    shuffled    an answer against the same words in a random order
    published   an answer against the one of `weak`, by a model that is known to be weaker: by its published
                standing over all instructions, not on this one, and its answers are shorter as well

    The first three are known to be worse for certain. A judge that only likes the longer answer finds every truncated
    one and most of the published: SAME_LENGTH names the kinds in which length gives nothing away.
    """
    answers = [one for one in answers if one.response.strip()]
    if len(answers) < 2:
        return []
    draw = random.Random(f"calibration {seed}")
    chosen = draw.sample(answers, min(len(answers), items))
    weaker = {one.id: one.response.strip() for one in weak}
    found = []
    for index, one in enumerate(chosen):
        good = one.response.strip()
        visible = good[: ANSWER_CHARS[style]]
        worse = {"other": chosen[(index + 1) % len(chosen)].response.strip()}
        if len(visible) >= SHORTEST_TO_CUT:
            worse["truncated"] = visible[: len(visible) // 4].strip()
        if len(words := visible.split()) >= FEWEST_TO_SHUFFLE:
            worse["shuffled"] = " ".join(draw.sample(words, len(words)))
        if weaker.get(one.id):
            worse["published"] = weaker[one.id]
        found += [
            KnownPair(kind, one.id, Pair(one.instruction, good, text)) for kind, text in worse.items() if text != good
        ]
    return found
