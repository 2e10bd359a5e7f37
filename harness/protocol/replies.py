"""Values out of what a server sent, read with their type.

A server may send anything: text where a number belongs, a list where an object belongs, NaN, half of a character. What
reads an answer takes every value through these functions, which raise BadReply and nothing else. Where the answers of
a protocol enter (a load request, a suite's request, /v1/models, /metrics), one handler turns BadReply into the failure
of that request, with the beginning of what was sent.
"""

import json
import math
from typing import Any

from harness.redaction.masking import excerpt
from harness.untrusted.strict_json import JsonObject, whole_characters

SHOWN = 200  # characters of an answer in a message
MOST_COUNT = 1 << 40  # tokens
NO_PROBABILITY = -9999.0  # vLLM's logarithm of 0, for servers that write -Infinity
ROUNDING = 1e-3  # a logarithm of 1 that was rounded up


class BadReply(Exception):
    """The answer is not what its protocol defines."""


def shown(data: Any) -> str:
    """The beginning of an answer in quotes, for a message."""
    return repr(_beginning(data, SHOWN))


def words(data: Any, length: int) -> str:
    """The beginning of what a server says in words; control characters are escaped, but for line ends."""
    text = _beginning(data, length)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def _beginning(data: Any, length: int) -> str:
    """Secrets in it are masked."""
    if isinstance(data, str | bytes):
        return excerpt(data, length)
    try:
        return excerpt(bytes(data) if isinstance(data, bytearray) else repr(data), length)
    except RecursionError:
        return f"a deeply nested {type(data).__name__}"


def parse_json(data: bytes | str) -> Any:
    """The JSON value, its texts without lone surrogates, which no file, socket or tokenizer takes."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig", "replace")
        return whole_characters(json.loads(text))
    except (ValueError, RecursionError):
        raise BadReply(f"not JSON: {shown(data)}") from None


def an_object(value: Any, name: str) -> JsonObject:
    """`name`: what the value is in the answer, for the message. null counts as empty."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise BadReply(f"{name} is {shown(value)}, not an object")


def a_list(value: Any, name: str) -> list[Any]:
    """null counts as empty."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise BadReply(f"{name} is {shown(value)}, not a list")


def a_text(value: Any, name: str) -> str:
    """null counts as empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise BadReply(f"{name} is {shown(value)}, not a text")


def a_count(value: Any, name: str) -> int | None:
    """A whole number from 0 on; None for null."""
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value <= MOST_COUNT and value == int(value):
        return int(value)
    raise BadReply(f"{name} is {shown(value)}, not a count")


def a_logprob(value: Any, name: str) -> float:
    """The logarithm of a probability: at most 0, but for rounding."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == -math.inf:
            return NO_PROBABILITY
        if -1e300 < value <= ROUNDING:  # NaN is not
            return float(value)
    raise BadReply(f"{name} is {shown(value)}, not a log-probability")
