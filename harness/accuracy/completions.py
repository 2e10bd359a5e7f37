"""What an answer of `/v1/completions` or `/v1/chat/completions` says: read here, for every suite."""

from dataclasses import dataclass, field
from typing import Any

from harness.errors import CellError
from harness.protocol.replies import BadReply, a_count, a_list, a_logprob, a_text, an_object, shown
from harness.records.item import UNREADABLE

Body = dict[str, Any]  # a request of the OpenAI protocol
Reply = dict[str, Any]  # an answer, as it came

FILTERED = "content_filter"
UNREADABLE_SHARE = 0.01  # of the answers; above it the score is not the model's


@dataclass(frozen=True)
class Completion:
    """The first choice. `text` is empty where the server gave none (a content filter, reasoning without an answer)."""

    text: str
    finish_reason: str | None
    completion_tokens: int | None
    choice: Reply = field(default_factory=dict, repr=False)  # as it came, for log-probabilities


def completion(reply: Reply) -> Completion:
    """Raises CellError for what is not a completion."""
    try:
        return read(reply)
    except BadReply as error:
        raise CellError(f"the server's answer is not a completion ({error}): {shown(reply)}") from error


def unreadable(problem: str) -> Reply:
    """Return an empty answer in place of one that cannot be read; it holds the reason."""
    return {"choices": [{"text": "", "finish_reason": UNREADABLE}], "problem": problem}


def tolerated(answers: int) -> int:
    """Return how many of so many answers may be unreadable before the suite ends: UNREADABLE_SHARE, or one."""
    return max(1, int(UNREADABLE_SHARE * answers))


def problem_of(reply: Reply) -> str | None:
    """Why an answer could not be read; None for one that could."""
    return reply["problem"] if reply["choices"] and reply["choices"][0].get("finish_reason") == UNREADABLE else None


def check(reply: Reply) -> None:
    """Raises BadReply where a value that a suite may read is of another type than the protocol says."""
    logprobs = an_object(read(reply).choice.get("logprobs"), "logprobs")
    for position in a_list(logprobs.get("content"), "logprobs.content"):
        _candidate(position, "logprobs.content")
        for one in a_list(position.get("top_logprobs"), "top_logprobs"):
            _candidate(one, "top_logprobs")
    for token in a_list(logprobs.get("tokens"), "logprobs.tokens"):
        a_text(token, "a token")
    for value in a_list(logprobs.get("token_logprobs"), "token_logprobs"):
        _ = value is None or a_logprob(value, "a value of token_logprobs")
    for top in a_list(logprobs.get("top_logprobs"), "top_logprobs"):
        for token, value in an_object(top, "an entry of top_logprobs").items():
            _ = value is None or a_logprob(value, f"top_logprobs of {shown(token)}")


def _candidate(one: Any, name: str) -> None:
    """A token and its log-probability, which may be null."""
    if not isinstance(one, dict):
        raise BadReply(f"an entry of {name} is {shown(one)}, not an object")
    a_text(one.get("token"), "a token")
    if (value := one.get("logprob")) is not None:
        a_logprob(value, "a logprob")


def read(reply: Reply) -> Completion:
    """Raises BadReply. A usage that cannot be read is none: no score depends on it."""
    tokens = counts_of(reply).get("completion_tokens")
    if "choices" not in reply:
        raise BadReply("no choices")
    choices = a_list(reply["choices"], "choices")
    if not choices:  # the prompt was filtered
        return Completion("", FILTERED, tokens)
    choice = choices[0]
    if not isinstance(choice, dict) or not ("message" in choice or "text" in choice):
        raise BadReply(f"a choice is {shown(choice)}, without text")
    said = an_object(choice["message"], "message").get("content") if "message" in choice else choice["text"]
    return Completion(_text(said), _reason(choice.get("finish_reason")), tokens, choice)


def counts_of(reply: Reply) -> dict[str, int]:
    """The counts of its usage that are counts."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return {}
    found = {}
    for name in ("prompt_tokens", "completion_tokens"):
        try:
            count = a_count(usage.get(name), name)
        except BadReply:
            continue
        if count is not None:
            found[name] = count
    return found


def _reason(value: Any) -> str | None:
    if isinstance(value, dict):  # SGLang's own form
        value = value.get("type")
    return a_text(value, "finish_reason") if value is not None else None


def _text(content: Any) -> str:
    """Chat content may be a list of parts, {"type": "text", "text": ...}."""
    if isinstance(content, list):
        return "".join(a_text(an_object(part, "a part of the content").get("text"), "text") for part in content)
    return a_text(content, "the text")
