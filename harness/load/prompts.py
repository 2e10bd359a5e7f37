"""Prompts of exactly so many tokens, as token ids: what is sent is what was counted, whatever the text.

A prompt is

    [BOS, if the tokenizer adds one] [shared prefix] [salt] [text of the corpus]

The salt is a few words drawn at random from the corpus. It makes every prompt different from its first block on, so
that a server's prefix cache finds nothing but the shared prefix (caches match from the first token, in blocks of 16):
without it two of 2000 prompts from a small corpus would start alike, and every chat would share the template's
system message. Text runs on from a random piece and wraps around; chat is cut at its *front*, as servers cut an
overlong history, so that it ends with the template's generation prompt.
"""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

from harness.errors import CellError, ConfigError
from harness.load.corpora import Corpus, Messages

SALT_TOKENS = 8
CHARS_PER_TOKEN = 5  # an estimate from above for English; only how much is drawn at first


def load_tokenizer(model: str, revision: str | None = None) -> Any:
    """The tokenizer of a checkpoint directory or hub id; transformers, without torch."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that torch is absent is meant
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model, revision=revision)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, ... for a broken one
        raise CellError(f"the tokenizer of {model} cannot be loaded: {error}") from error


def make_prompts(
    tokenizer: Any,
    corpus: Corpus,
    *,
    count: int,
    tokens: int,
    seed: int,
    shared_tokens: int = 0,
    shared_seed: int = 0,
) -> list[list[int]]:
    """`count` prompts of `tokens` token ids. `shared_seed` alone decides their first `shared_tokens`."""
    if not 0 <= shared_tokens < tokens:
        raise ConfigError(f"shared_prefix_tokens must be at least 0 and below prompt_tokens {tokens}: {shared_tokens}")
    writer: Callable[[int, random.Random], list[int]]
    writer = _chat_writer(tokenizer, corpus) if corpus.dialogues else _text_writer(tokenizer, corpus)
    salt_words = _salt_words(tokenizer, corpus)
    head = bos_ids(tokenizer)
    if shared_tokens:
        head = (head + writer(shared_tokens, random.Random(shared_seed)))[:shared_tokens]
    draw = random.Random(seed)
    prompts = []
    for _ in range(count):
        salt = draw.choices(salt_words, k=SALT_TOKENS)
        start = (head + salt)[:tokens]
        prompts.append(start + writer(tokens - len(start), draw))
    return prompts


def bos_ids(tokenizer: Any) -> list[int]:
    """[BOS] if the tokenizer puts one in front of a text: engines add nothing to a prompt of token ids."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else []


def _text_writer(tokenizer: Any, corpus: Corpus) -> Callable[[int, random.Random], list[int]]:
    encoded: dict[int, list[int]] = {}  # a piece is tokenized once, and only if it is drawn

    def write(tokens: int, draw: random.Random) -> list[int]:
        ids: list[int] = []
        for index in _from(draw.randrange(len(corpus.texts)), len(corpus.texts)):
            if len(ids) >= tokens:
                return ids[:tokens]
            if index not in encoded:
                encoded[index] = _encode(tokenizer, corpus.texts[index])
            ids += encoded[index]
        raise AssertionError("unreachable: the pieces repeat for ever")

    return write


def _chat_writer(tokenizer: Any, corpus: Corpus) -> Callable[[int, random.Random], list[int]]:
    if not getattr(tokenizer, "chat_template", None):
        raise CellError(f"corpus {corpus.name} needs a chat template and the tokenizer has none; set text: prose")

    def write(tokens: int, draw: random.Random) -> list[int]:
        if tokens == 0:
            return []
        chars = tokens * CHARS_PER_TOKEN
        last = draw.choice(corpus.dialogues)
        end = draw.choice([turn for turn, message in enumerate(last) if message["role"] == "user"])
        history: Messages = last[: end + 1]
        order = _from(draw.randrange(len(corpus.dialogues)), len(corpus.dialogues))
        while True:
            while sum(len(message["content"]) for message in history) < chars:
                history = corpus.dialogues[next(order)] + history
            text = tokenizer.apply_chat_template(history, tokenize=False, add_generation_prompt=True)
            ids = _encode(tokenizer, text)
            if len(ids) >= tokens:
                return ids[-tokens:]
            chars *= 2

    return write


def _from(start: int, length: int) -> Iterator[int]:
    """start, start + 1, ... around and around."""
    index = start
    while True:
        yield index % length
        index += 1


def _salt_words(tokenizer: Any, corpus: Corpus) -> list[int]:
    texts = corpus.texts or tuple(message["content"] for dialogue in corpus.dialogues for message in dialogue)
    ids = {token for text in texts[:64] for token in _encode(tokenizer, text)}
    return sorted(ids - set(tokenizer.all_special_ids))


def _encode(tokenizer: Any, text: str) -> list[int]:
    # verbose=False: pieces longer than the model's context are cut here, no need to warn about them
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
