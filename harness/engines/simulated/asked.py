"""What a request to /v1/completions or /v1/chat/completions asks for. Pure; ValueError says what is wrong with it."""

import random
import zlib
from dataclasses import dataclass
from typing import Any

from harness.untrusted.strict_json import JsonObject

CHARACTERS_PER_TOKEN = 4  # text is counted, not tokenized: the server has no tokenizer
MEAN_ANSWER_TOKENS = 128.0  # of answers that end by themselves; their lengths are geometric
COMPLETION_TOKENS = 16  # OpenAI's default of max_tokens for completions


@dataclass(frozen=True)
class Asked:
    """`prompt_ids` is None for text. `digest` tells requests apart: it seeds the answer."""

    chat: bool
    prompt_ids: list[int] | None
    prompt_tokens: int
    output_tokens: int
    finish_reason: str  # length | stop
    digest: int
    stream: bool = False
    include_usage: bool = False
    token_ids: bool = False  # return_token_ids
    logprobs: int | None = None  # so many alternatives a token
    logprob_token_ids: tuple[int, ...] = ()
    tokens_as_ids: bool = False  # tokens in log-probabilities are written token_id:N
    echo: bool = False


def read_asked(
    body: JsonObject, *, chat: bool, raw: bytes, seed: int, max_model_len: int, full_length: bool = False
) -> Asked:
    """`raw`: the body as it was sent. `full_length`: every answer has the length that was asked, as with ignore_eos.

    Raises ValueError.
    """
    prompt_ids, prompt_tokens = _chat_prompt(body) if chat else _prompt(body.get("prompt"))
    room = max_model_len - prompt_tokens
    asked = _integer(body, "max_completion_tokens", _integer(body, "max_tokens", None if chat else COMPLETION_TOKENS))
    limit = room if asked is None else asked
    if limit < 1 or limit > room:
        raise ValueError(
            f"max_tokens={limit} with a prompt of {prompt_tokens} tokens: this model's maximum context length is "
            f"{max_model_len} tokens, and at least one has to be generated"
        )
    digest = zlib.crc32(raw, seed & 0xFFFFFFFF)
    tokens = limit
    if not body.get("ignore_eos") and not (full_length and asked is not None):
        drawn = 1 + int(random.Random(digest).expovariate(1 / MEAN_ANSWER_TOKENS))
        tokens = min(limit, max(drawn, _integer(body, "min_tokens", 0) or 0))
    options = body.get("stream_options")
    return Asked(
        chat=chat,
        prompt_ids=prompt_ids,
        prompt_tokens=prompt_tokens,
        output_tokens=tokens,
        finish_reason="length" if tokens == limit else "stop",
        digest=digest,
        stream=bool(body.get("stream")),
        include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
        token_ids=bool(body.get("return_token_ids")),
        logprobs=_logprobs(body, chat),
        logprob_token_ids=tuple(_ids(body.get("logprob_token_ids") or [], "logprob_token_ids")),
        tokens_as_ids=bool(body.get("return_tokens_as_token_ids")),
        echo=bool(body.get("echo")) and not chat,
    )


def _prompt(prompt: Any) -> tuple[list[int] | None, int]:
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]  # a batch of one
    if isinstance(prompt, str):
        return None, _count(prompt)
    if isinstance(prompt, list) and prompt:
        return _ids(prompt, "prompt"), len(prompt)
    raise ValueError("prompt must be a text or a list of token ids that is not empty; one prompt a request")


def _chat_prompt(body: JsonObject) -> tuple[None, int]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise ValueError("messages must be a list of objects that is not empty")
    return None, sum(_count(str(message.get("content") or "")) for message in messages)


def _count(text: str) -> int:
    return max(1, round(len(text) / CHARACTERS_PER_TOKEN))


def _ids(values: Any, name: str) -> list[int]:
    # One set of types: a loop over a prompt of thousands of ids would hold up the streams.
    if not isinstance(values, list) or not set(map(type, values)) <= {int}:
        raise ValueError(f"{name} must be a list of token ids")
    return values


def _integer(body: JsonObject, name: str, default: int | None) -> int | None:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer, got {value!r}")
    return value


def _logprobs(body: JsonObject, chat: bool) -> int | None:
    if chat:
        return _integer(body, "top_logprobs", 0) if body.get("logprobs") else None
    value = body.get("logprobs")
    return None if value is None or value is False else int(value)
