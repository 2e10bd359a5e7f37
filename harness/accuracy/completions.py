"""What an answer of `/v1/completions` or `/v1/chat/completions` says: read here, for every suite."""

import json
from dataclasses import dataclass, field
from typing import Any

from harness.accuracy.refusals import error_of
from harness.errors import CellError
from harness.masking import excerpt

BROKEN_OFF = ("error", "abort")  # finish reasons of an answer that the server did not finish
FILTERED = "content_filter"


@dataclass(frozen=True)
class Completion:
    """The first choice. `text` is empty where the server gave none (a content filter, reasoning without an answer)."""

    text: str
    finish_reason: str | None
    completion_tokens: int | None
    choice: dict[str, Any] = field(default_factory=dict, repr=False)  # as it came, for log-probabilities


def completion(reply: dict[str, Any]) -> Completion:
    """Raises CellError for what is not a completion."""
    usage = reply.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    choices = reply.get("choices", ())
    if choices in (None, []):  # the prompt was filtered
        return Completion("", FILTERED if "choices" in reply else None, tokens)
    try:
        choice = choices[0]
        text = _text((choice["message"] or {}).get("content") if "message" in choice else choice["text"])
        return Completion(text, choice.get("finish_reason"), tokens, choice)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        shown = excerpt(json.dumps(reply), 300)
        raise CellError(f"the server's answer is not a completion ({error!r}): {shown}") from error


def _text(content: Any) -> str:
    """Chat content may be a list of parts, {"type": "text", "text": ...}."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    if not isinstance(content, str):
        raise TypeError(f"text is {type(content).__name__}")
    return content


def failure(reply: Any) -> str | None:
    """Why an answer with status 200 is none; None where it is one."""
    if not isinstance(reply, dict):
        return f"200 with {excerpt(json.dumps(reply), 300)}"
    if (error := error_of(reply)) is not None:
        return f"200 with an error object: {excerpt(str(error), 300)}"
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    if (error := error_of(choice)) is not None:
        return f"200 with an error in its choice: {excerpt(str(error), 300)}"
    if choice.get("finish_reason") in BROKEN_OFF:
        return f"an answer that ended with finish_reason {choice['finish_reason']!r}"
    return None
