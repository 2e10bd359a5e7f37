"""Generated prompts as a user's message over chat completions: with the template's tokens they have the count."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.errors import CellError
from harness.loadgen.client.requests import MARK, make_chat_request
from harness.loadgen.client.trace import Asked, Request
from harness.loadgen.traffic.retokenize import make_texts
from harness.text.corpora import Corpus
from harness.text.tokenizer import bos_ids, encode

SAID = "hello"


def make_chat_texts(tokenizer: Any, corpus: Corpus, lengths: Iterable[int], **seeds: int) -> Iterator[str]:
    """Messages that have so many tokens with what the chat template adds to them. Raises CellError."""
    added = template_tokens(tokenizer)
    counts = list(lengths)
    if counts and min(counts) <= added:
        raise CellError(
            f"{min(counts)} tokens: the chat template alone puts {added}; set more prompt_tokens or turn_tokens, or "
            "api: completions"
        )
    own = len(bos_ids(tokenizer))  # counted in a text, and not added to a message
    plain = Corpus(corpus.name, texts=corpus.writings)
    return make_texts(tokenizer, plain, [count - added + own for count in counts], **seeds)


def template_tokens(tokenizer: Any) -> int:
    """Tokens that the chat template puts around one user's message; 0 where the tokenizer has no template."""
    if not getattr(tokenizer, "chat_template", None):
        return 0
    messages = [{"role": "user", "content": SAID}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return len(encode(tokenizer, text)) - len(encode(tokenizer, SAID))


def chat_request(
    index: int, intended_s: float, model: str, text: str, asked: Asked, exact_length: Sequence[str]
) -> Request:
    """A user's message; a later turn's follows what was said before it. The server's template may be another than the
    tokenizer's: the prompt's count is an estimate."""
    messages: list[Mapping[str, Any] | int] = [{"role": "user", "content": text}]
    if asked.turn:
        messages.insert(0, MARK)
    return make_chat_request(
        index, intended_s, model, messages, replace(asked, counted=False), exact_length=exact_length
    )
