"""A request's body, and how a conversation's next turn is made of what was said."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.loadgen.client.trace import Asked, Request

PATH, CHAT_PATH = "/v1/completions", "/v1/chat/completions"
PATHS = {"completions": PATH, "chat": CHAT_PATH}
EVENT_BYTES, BASE_BYTES = 4096, 1 << 20  # a token's event is 200 to 400 bytes on the engines we know
PROMPT = b'"prompt":['  # where a body of token ids has them: the first key of that name, without a space
MESSAGES = b'"messages":['  # where a body of messages has them: the first key of all, up to the key of the model
MESSAGES_END = b'],"model":'  # not in a message: a quote in its text is escaped
MARK = -1  # in a later turn's prompt or messages, where the conversation so far goes
EXACT_LENGTH = ("min_tokens", "ignore_eos")  # vLLM's


def make_request(
    index: int,
    intended_s: float,
    model: str,
    prompt: list[int] | str,
    asked: Asked,
    *,
    continued: bool = False,
    exact_length: Sequence[str] = EXACT_LENGTH,
) -> Request:
    """A completion of exactly asked.output_tokens tokens, as far as the server honours the fields of `exact_length`
    (engines/dialect.py); without any it ends where the model ends it.

    A later turn (asked.turn > 0) has a prompt that starts with MARK. `continued`: another turn follows, and so the
    server is asked for the ids of its tokens.
    """
    more = {"return_token_ids": True} if continued else {}
    return _request(index, intended_s, {"prompt": prompt, **_common(model, asked, exact_length), **more}, asked)


def make_chat_request(
    index: int,
    intended_s: float,
    model: str,
    messages: Sequence[Mapping[str, Any] | int],
    asked: Asked,
    *,
    exact_length: Sequence[str] = EXACT_LENGTH,
) -> Request:
    """The same over chat completions: the server writes the messages through its chat template. A later turn has MARK
    and the user's next message."""
    return _request(index, intended_s, {"messages": messages, **_common(model, asked, exact_length)}, asked)


def _common(model: str, asked: Asked, exact_length: Sequence[str]) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": asked.output_tokens,
        **{field: asked.output_tokens if field == "min_tokens" else True for field in exact_length},
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _request(index: int, intended_s: float, body: dict[str, Any], asked: Asked) -> Request:
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Request(index, intended_s, encoded, BASE_BYTES + EVENT_BYTES * asked.output_tokens, asked)


def is_chat(body: bytes) -> bool:
    return body.startswith(b"{" + MESSAGES)


def said_ids(answer: Sequence[int]) -> bytes:
    """An answer's token ids, as `continue_body` takes them."""
    return b",".join(b"%d" % token for token in answer)


def said_message(answer: str) -> bytes:
    """An answer over chat completions, as `continue_body` takes it."""
    return json.dumps({"role": "assistant", "content": answer}, separators=(",", ":")).encode()


def continue_body(template: bytes, previous_body: bytes, answer: bytes) -> bytes:
    """`template` with the previous prompt and its answer in place of MARK, or the previous messages and theirs.

    On the bytes: a long conversation is not parsed and written again while others wait to be sent. Raises ValueError
    when the previous body is not of token ids or messages, or the template is not a later turn's.
    """
    opening, closing = (MESSAGES, MESSAGES_END) if is_chat(template) else (PROMPT, b"]")
    mark = template.index(b"%b%d" % (opening, MARK)) + len(opening)
    start = previous_body.index(opening) + len(opening)
    said = previous_body[start : previous_body.index(closing, start)]
    return template[:mark] + b",".join(filter(None, (said, answer))) + template[mark + len(b"%d" % MARK) :]
