"""Prompts in the form that a server takes: token ids, or text (`engine.send_as=text`).

Ids are what every variant is compared on, so a text is sent only if the tokenizer makes the same ids of it, with the
special tokens that a server adds to a text prompt: a BOS in front is left out where the tokenizer writes it again.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from harness.engines import Server
from harness.engines.dialect import TEXT
from harness.errors import CellError
from harness.text.tokenizer import bos_ids

END_TOKENS = 16


def sendable(server: Server, tokenizer: Any, prompts: Iterable[list[int]]) -> Iterator[list[int] | str]:
    """Raises CellError for a prompt that cannot be sent as text."""
    if server.dialect.send_as != TEXT:
        yield from prompts
        return
    bos = bos_ids(tokenizer)
    for ids in prompts:
        yield as_text(tokenizer, ids, bos)


def end_of(tokenizer: Any, ids: list[int]) -> str:
    """The text of a prompt's last tokens, where a chat template may open a reasoning block."""
    return _decoded(tokenizer, ids[-END_TOKENS:])


def as_text(tokenizer: Any, ids: list[int], bos: list[int]) -> str:
    rest = ids[1:] if bos and ids[:1] == bos else ids
    text = _decoded(tokenizer, rest)
    for candidate in (text, " " + text):  # SentencePiece's decoder drops a space in front
        if tokenizer(candidate, verbose=False)["input_ids"] == ids:
            return candidate
    read = tokenizer(text, verbose=False)["input_ids"]
    differing = (n for n, (one, other) in enumerate(zip(ids, read, strict=False)) if one != other)
    at = next(differing, min(len(ids), len(read)))
    was, becomes = (_decoded(tokenizer, part[at : at + 3]) for part in (ids, read))
    raise CellError(
        f"engine.send_as=text: the server would read a prompt of {len(ids)} tokens as {len(read)} others (token {at}: "
        f"{was!r} becomes {becomes!r}); serve the model where token ids are taken, or leave the suite out"
    )


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
