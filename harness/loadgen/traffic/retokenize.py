"""Prompts as text that the engine's tokenizer turns into exactly so many tokens.

Token ids do not survive a round trip through text (two pieces may join, a cut word splits otherwise), so a text is
decoded, encoded again as an engine does it, and lengthened or shortened by what is missing until its count is right.
Engines put BOS before a text, and not before ids: the count is of the tokens that the engine will compute.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from harness.errors import CellError
from harness.loadgen.traffic.prompts import SALT_TOKENS, Writer, writer
from harness.text.corpora import Corpus

STEPS = 12  # corrections of one text ...
ATTEMPTS = 16  # ... and other texts, before we say that this tokenizer cannot do it
SLACK_TOKENS = 64  # a text may need so many more pieces than it is to have tokens
SALT_SHARE = 4  # a prompt has at most one salt word for every so many tokens
CUT_CHARACTER = "\ufffd"  # what a decoder writes for part of a character


def make_texts(
    tokenizer: Any,
    corpus: Corpus,
    lengths: Iterable[int],
    *,
    seed: int,
    shared_tokens: int = 0,
    shared_seed: int = 0,
) -> Iterator[str]:
    """A text of so many tokens for each of `lengths`, all of which begin with the same `shared_tokens`.

    Raises CellError where the tokenizer gives no such text.
    """
    write = writer(tokenizer, corpus)
    words = sorted({word for text in corpus.writings[:64] for word in re.findall(r"\w{2,12}", text)})
    prefix = ""
    if shared_tokens:
        prefix = _write(tokenizer, write, shared_tokens, random.Random(shared_seed), lambda attempt: "", str.rstrip)
    shared = count_ids(tokenizer, prefix) if shared_tokens else []
    draw = random.Random(seed)
    for tokens in lengths:
        salt_words = min(SALT_TOKENS, (tokens - shared_tokens) // SALT_SHARE) if words else 0

        def start(attempt: int, salt_words: int = salt_words) -> str:
            # Less salt in later attempts: where a token is a letter, a short prompt has no room for whole words.
            count = salt_words * (ATTEMPTS - attempt) // ATTEMPTS
            return prefix + "".join(" " + word for word in draw.choices(words, k=count))

        yield _write(tokenizer, write, tokens, draw, start, str, shared)


def count_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids that an engine computes for a text: with the special tokens that the tokenizer adds."""
    return tokenizer(text, verbose=False)["input_ids"]


def decode(tokenizer: Any, ids: list[int]) -> str:
    """The text of ids, special tokens included, but for characters that the cut at an end has split."""
    text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text.strip(CUT_CHARACTER)


def _write(
    tokenizer: Any,
    write: Writer,
    tokens: int,
    draw: random.Random,
    start: Callable[[int], str],
    finish: Callable[[str], str],
    shared: Iterable[int] = (),
) -> str:
    shared = list(shared)
    for attempt in range(ATTEMPTS):
        head = start(attempt)
        ids = write.text(tokens + SLACK_TOKENS, draw)
        pieces = max(0, tokens - len(count_ids(tokenizer, head)))
        tried = set()
        for _ in range(STEPS):
            body = decode(tokenizer, write.cut(ids, pieces))
            text = finish(head + (" " + body if head and body else body))
            found = count_ids(tokenizer, text)
            if len(found) == tokens:
                if found[: len(shared)] == shared:
                    return text
                break
            pieces += tokens - len(found)
            if pieces in tried or not 0 <= pieces <= len(ids):
                break
            tried.add(pieces)
    raise CellError(
        f"no text of exactly {tokens} tokens in {ATTEMPTS} tries with the tokenizer "
        f"{getattr(tokenizer, 'name_or_path', '')}; set send_as: ids"
    )
