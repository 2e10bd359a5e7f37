"""Prompts of exactly so many tokens, as token ids: what is sent is what was counted, whatever the text.

A prompt is

    [BOS, if the tokenizer adds one] [shared prefix] [salt] [text of the corpus]

The salt is a few words drawn at random from the corpus. It makes every prompt different from its first block on, so
that a server's prefix cache finds nothing but the shared prefix (caches match from the first token, in blocks of 16):
without it two of 2000 prompts from a small corpus would start alike, and every chat would share the template's
system message. Text runs on from a random piece and wraps around; chat is cut at its *front*, as servers cut an
overlong history, so that it ends with the template's generation prompt.
"""

import random
from array import array
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any, Protocol

from harness.errors import CellError, ConfigError
from harness.loadgen.traffic.replay import BLOCK_TOKENS, Arrival
from harness.text.corpora import Corpus, Messages
from harness.text.tokenizer import bos_ids, encode

SALT_TOKENS = 8
CHARS_PER_TOKEN = 5  # an estimate from above for English; only how much is drawn at first
CACHED_BLOCKS = 1024  # of a trace; the rest is written again when it comes
SAID, ASKED = "the-assistant-has-said-this", "the-user-asks-that"  # to be found again in what a chat template writes


def make_prompts(
    tokenizer: Any,
    corpus: Corpus,
    lengths: Iterable[int],
    *,
    seed: int,
    shared_tokens: int = 0,
    shared_seed: int = 0,
) -> Iterator[list[int]]:
    """A prompt of so many token ids for each of `lengths`. `shared_seed` alone decides their first `shared_tokens`."""
    write = writer(tokenizer, corpus)
    salt_words = _salt_words(tokenizer, corpus)
    head = bos_ids(tokenizer)
    if shared_tokens:
        head = (head + write.text(shared_tokens, random.Random(shared_seed)))[:shared_tokens]
    draw = random.Random(seed)
    for tokens in lengths:
        if not shared_tokens < tokens:
            raise ConfigError(f"shared_prefix_tokens {shared_tokens} must be below the prompt's {tokens} tokens")
        start = (head + draw.choices(salt_words, k=SALT_TOKENS))[:tokens]
        yield start + write.text(tokens - len(start), draw)


def make_block_prompts(
    tokenizer: Any, corpus: Corpus, arrivals: Iterable[Arrival], *, seed: int
) -> Iterator[list[int]]:
    """Prompts whose blocks of 512 tokens are the same wherever a trace gives them the same id."""
    write = TextWriter(tokenizer, corpus.writings)
    salt_words = _salt_words(tokenizer, corpus)
    head = bos_ids(tokenizer)

    @lru_cache(maxsize=CACHED_BLOCKS)
    def block(number: int) -> array:
        draw = random.Random(f"{seed}/{number}")
        salt = draw.choices(salt_words, k=SALT_TOKENS)  # two ids are two texts, from their first tokens on
        return array("I", salt + write.text(BLOCK_TOKENS - SALT_TOKENS, draw))

    for arrival in arrivals:
        ids = [token for number in arrival.hash_ids or () for token in block(number)][: arrival.prompt_tokens]
        yield (head + ids[len(head) :])[: arrival.prompt_tokens]


class Writer(Protocol):
    """Writes token ids of a corpus's text."""

    def text(self, tokens: int, draw: random.Random) -> list[int]:
        """Exactly so many."""

    def cut(self, ids: list[int], tokens: int) -> list[int]:
        """A shorter form of what `text` gave."""

    def message(self, tokens: int, draw: random.Random) -> list[int]:
        """What a user's next message adds to a conversation, the chat template's part in it included."""


class TextWriter:
    def __init__(self, tokenizer: Any, texts: tuple[str, ...]):
        self._tokenizer, self._texts = tokenizer, texts
        self._encoded: dict[int, array] = {}  # a piece is tokenized once, and only if it is drawn

    def text(self, tokens: int, draw: random.Random) -> list[int]:
        ids: list[int] = []
        for index in _from(draw.randrange(len(self._texts)), len(self._texts)):
            if len(ids) >= tokens:
                break
            if index not in self._encoded:
                self._encoded[index] = array("I", encode(self._tokenizer, self._texts[index]))
            ids += self._encoded[index]
        return ids[:tokens]

    def cut(self, ids: list[int], tokens: int) -> list[int]:
        return ids[:tokens]

    message = text


class ChatWriter:
    def __init__(self, tokenizer: Any, corpus: Corpus):
        if not getattr(tokenizer, "chat_template", None):
            raise CellError(f"corpus {corpus.name} needs a chat template and the tokenizer has none; set text: prose")
        self._tokenizer, self._dialogues = tokenizer, corpus.dialogues
        questions = (m["content"] + "\n\n" for dialogue in corpus.dialogues for m in dialogue if m["role"] == "user")
        self._questions = TextWriter(tokenizer, tuple(questions))

    def text(self, tokens: int, draw: random.Random) -> list[int]:
        if tokens == 0:
            return []
        chars = tokens * CHARS_PER_TOKEN
        last = draw.choice(self._dialogues)
        end = draw.choice([turn for turn, message in enumerate(last) if message["role"] == "user"])
        history: Messages = last[: end + 1]
        order = _from(draw.randrange(len(self._dialogues)), len(self._dialogues))
        while True:
            while sum(len(message["content"]) for message in history) < chars:
                history = self._dialogues[next(order)] + history
            ids = encode(self._tokenizer, self._render(history))
            if len(ids) >= tokens:
                return self.cut(ids, tokens)
            chars *= 2

    def cut(self, ids: list[int], tokens: int) -> list[int]:
        return ids[-tokens:] if tokens else []

    def message(self, tokens: int, draw: random.Random) -> list[int]:
        before, after = self._between_turns
        words = tokens - len(before) - len(after)
        if words < 1:
            raise CellError(f"turn_tokens {tokens}: the chat template alone puts {tokens - words} between two turns")
        return before + self._questions.text(words, draw) + after

    @cached_property
    def _between_turns(self) -> tuple[list[int], list[int]]:
        """What the template writes from the end of an answer to the user's words, and from there to the next answer."""
        roles = [("user", "hello"), ("assistant", SAID), ("user", ASKED)]
        text = self._render([{"role": role, "content": content} for role, content in roles])
        _, said, rest = text.rpartition(SAID)
        before, asked, after = rest.partition(ASKED)
        if not said or not asked:
            raise CellError("the tokenizer's chat template does not repeat what was said; set turns: 1 or text: prose")
        return encode(self._tokenizer, before), encode(self._tokenizer, after)

    def _render(self, messages: Messages) -> str:
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def writer(tokenizer: Any, corpus: Corpus) -> Writer:
    return ChatWriter(tokenizer, corpus) if corpus.dialogues else TextWriter(tokenizer, corpus.texts)


def _from(start: int, length: int) -> Iterator[int]:
    """start, start + 1, ... around and around."""
    index = start
    while True:
        yield index % length
        index += 1


def _salt_words(tokenizer: Any, corpus: Corpus) -> list[int]:
    ids = {token for text in corpus.writings[:64] for token in encode(tokenizer, text)}
    return sorted(ids - set(tokenizer.all_special_ids))
