"""Where an OpenAI-style answer says that it failed, although its HTTP status is 200: a whole answer, or a chunk of one.

- `{"error": "text" or {"message": ...}}`, `{"errors": [...]}`: most servers; an `error` of null is a good answer
- `{"object": "error", "message": ...}`, `{"type": "error", ...}`: vLLM, SGLang, gateways
- `{"message": ...}` or `{"detail": ...}` with neither choices nor usage; in a stream it may be a keep-alive
- a choice with `error`, or whose finish_reason is no end of an answer: abort (vLLM, SGLang), error (vLLM, Mistral,
  OpenRouter), cancelled and timeout (TensorRT-LLM, Dynamo), insufficient_system_resource (DeepSeek)

`content_filter` is an end like `stop` and `length`: the server answered, and would answer the same again.
"""

import re
from typing import Any

from harness.protocol.replies import words
from harness.untrusted.strict_json import JsonObject

FAILED_END = re.compile(
    r"abort|error|fail|cancel|timed?.?out|exception|insufficient|unavailable|overload|interrupt|disconnect", re.I
)


def unwrapped(answer: Any) -> Any:
    """Return the answer without the list of one in which Google's endpoints wrap an error."""
    return answer[0] if isinstance(answer, list) and len(answer) == 1 else answer


def error_of(answer: Any) -> Any:
    """Return the content of `error` or `errors`; None if it is empty, or an object whose fields are all empty."""
    if not isinstance(answer, dict):
        return None
    return _filled(answer.get("error")) or _filled(unwrapped(answer.get("errors"))) or None


def stated_error(answer: JsonObject) -> str | None:
    """Return the error that an answer states, its choices aside. A bare message counts."""
    return explicit_error(answer) or bare_message(answer)


def explicit_error(answer: JsonObject) -> str | None:
    """Return the error of an answer or chunk that calls itself an error."""
    error = error_of(answer)
    if not error and "error" in (answer.get("object"), answer.get("type"), answer.get("status")):
        error = answer.get("message") or answer.get("detail") or answer
    return words(error, 300) if error else None


def bare_message(answer: JsonObject) -> str | None:
    """Return the message of an answer or chunk that has neither choices nor usage."""
    said = None if "choices" in answer or "usage" in answer else answer.get("message") or answer.get("detail")
    return words(said, 300) if said else None


def failed_choice(choice: JsonObject) -> str | None:
    """Why a choice that has ended is no answer; None for one that is."""
    if error := _filled(choice.get("error")):
        return f"an error in its choice: {words(error, 300)}"
    reason = choice.get("finish_reason")
    if isinstance(reason, dict):  # SGLang's own form
        reason = reason.get("type")
    if isinstance(reason, str) and FAILED_END.search(reason):
        return f"an answer that ended with finish_reason {reason!r}"
    return None


def failure_of(answer: Any) -> str | None:
    """Return why a whole answer with status 200, `unwrapped`, is not a completion; None for one that is."""
    if not isinstance(answer, dict):
        return f"200 with {words(answer, 300)}"
    if error := stated_error(answer):
        return f"200 with an error object: {error}"
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    why = failed_choice(choice)
    return None if why is None else f"200 with {why}"


def _filled(error: Any) -> Any:
    """An error object whose fields are all empty is none."""
    return {key: value for key, value in error.items() if value} if isinstance(error, dict) else error
