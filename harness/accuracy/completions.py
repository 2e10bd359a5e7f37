"""What an answer of `/v1/completions` or `/v1/chat/completions` says: read here, for every suite."""

import json
from dataclasses import dataclass, field
from typing import Any

from harness.errors import CellError
from harness.masking import excerpt

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
        return Completion("", FILTERED, tokens)
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
