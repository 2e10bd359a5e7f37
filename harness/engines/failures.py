"""Where an OpenAI-style answer says that it failed, although its HTTP status is 200: a whole answer, or a chunk of one.

- `{"error": "text" or {"message": ...}}`, `{"errors": [...]}`: most servers; an `error` of null is a good answer
- `{"object": "error", "message": ...}`, `{"type": "error", ...}`: vLLM, SGLang, gateways
- `{"message": ...}` or `{"detail": ...}` with neither choices nor usage
- a choice with `error`, or whose finish_reason is no end of an answer: abort (vLLM, SGLang), error (vLLM, Mistral,
  OpenRouter), cancelled and timeout (TensorRT-LLM, Dynamo), insufficient_system_resource (DeepSeek)

`content_filter` is an end like `stop` and `length`: the server answered, and would answer the same again.
"""

import json
import re
from typing import Any

from harness.masking import excerpt

FAILED_END = re.compile(
    r"abort|error|fail|cancel|timed?.?out|exception|insufficient|unavailable|overload|interrupt|disconnect", re.I
)


def stated_error(answer: dict[str, Any]) -> str | None:
    """The error that an answer or a chunk states about itself, its choices aside."""
    error = _filled(answer.get("error")) or _filled(answer.get("errors"))
    if not error:
        if "error" in (answer.get("object"), answer.get("type"), answer.get("status")):
            error = answer.get("message") or answer.get("detail") or answer
        elif "choices" not in answer and "usage" not in answer:
            error = answer.get("message") or answer.get("detail")
    return excerpt(str(error), 300) if error else None


def failed_choice(choice: dict[str, Any]) -> str | None:
    """Why a choice that has ended is no answer; None for one that is."""
    if error := _filled(choice.get("error")):
        return f"an error in its choice: {excerpt(str(error), 300)}"
    reason = choice.get("finish_reason")
    if isinstance(reason, dict):  # SGLang's own form
        reason = reason.get("type")
    if isinstance(reason, str) and FAILED_END.search(reason):
        return f"an answer that ended with finish_reason {reason!r}"
    return None


def failure_of(answer: Any) -> str | None:
    """Why a whole answer with status 200 is none; None where it is one."""
    if isinstance(answer, list) and len(answer) == 1:  # as Google's endpoints wrap an error
        answer = answer[0]
    if not isinstance(answer, dict):
        return f"200 with {excerpt(json.dumps(answer), 300)}"
    if error := stated_error(answer):
        return f"200 with an error object: {error}"
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    why = failed_choice(choice)
    return None if why is None else f"200 with {why}"


def _filled(error: Any) -> Any:
    """An error object whose fields are all empty is none."""
    return {key: value for key, value in error.items() if value} if isinstance(error, dict) else error
