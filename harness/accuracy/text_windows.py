"""Windows of a tokenized text, and the log-probabilities that a server gives to the tokens of one."""

import base64
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from harness.accuracy.completions import Reply, problem_of, tolerated
from harness.accuracy.items import digest
from harness.errors import CellError
from harness.protocol.replies import NO_PROBABILITY, BadReply, a_logprob
from harness.records.item import TextWindow

PREFIX = "token_id:"  # return_tokens_as_token_ids


def cut_windows(ids: list[int], window: int, bos: list[int]) -> list[list[int]]:
    """Windows of `window` ids, each with `bos` in front; a shorter text is one window. None of fewer than two ids."""
    step = window - len(bos)
    full = [bos + ids[start : start + step] for start in range(0, len(ids) - step + 1, step)]
    return full or ([bos + ids] if len(bos + ids) > 1 else [])


@dataclass(frozen=True)
class AskedWindow:
    id: str
    doc_hash: str  # of its part of the text
    ids: list[int]  # with BOS in front where every window has one


def scored_windows(answers: Sequence[Reply], windows: Sequence[AskedWindow], top_k: int) -> list[TextWindow]:
    """Return what each answer gives its window: nothing for one that cannot be read. Raise CellError for too many."""
    scored, unread = [], 0
    for answer, window in zip(answers, windows, strict=True):
        try:
            scored.append(scored_window(answer, window, top_k))
        except CellError:
            unread += 1
            if unread > min(tolerated(len(windows)), len(windows) - 1):
                raise
            scored.append(_stored(window, top_k, [], []))
    return scored


def scored_window(answer: Reply, window: AskedWindow, top_k: int) -> TextWindow:
    """The scored positions of a window: all but the first, which has no context.

    Raises CellError when the answer has not the log-probabilities that were asked.
    """
    ids = window.ids
    try:
        logprobs = answer["choices"][0]["logprobs"]
        values = [a_logprob(value, "a log-probability") for value in logprobs["token_logprobs"][1 : len(ids)]]
        tops = [_top(entry, top_k) for entry in logprobs["top_logprobs"][1 : len(ids)]]
        said = [token.removeprefix(PREFIX) for token in logprobs["tokens"][: len(ids)]]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, BadReply) as error:
        if problem := problem_of(answer):
            raise CellError(problem) from None
        raise CellError(
            "the server gives no log-probabilities of a prompt's tokens (completions with echo, logprobs and "
            f"return_tokens_as_token_ids: {type(error).__name__}: {error}); leave the perplexity suite out"
        ) from None
    if said != [str(token) for token in ids] or not len(values) == len(tops) == len(ids) - 1:
        raise CellError("the server echoes other tokens than it was sent, or not all of their log-probabilities")
    if min(values) <= NO_PROBABILITY:
        raise CellError("the server gives a token of the text a probability of 0; its log-probabilities are not usable")
    return _stored(window, top_k, values, tops)


def _stored(window: AskedWindow, top_k: int, values: list[float], tops: list[list[tuple[int, float]]]) -> TextWindow:
    """No values: the answer could not be read."""
    return TextWindow(
        id=window.id,
        doc_hash=window.doc_hash,
        prompt_hash=digest(window.ids),
        tokens=len(values),
        logprob_sum=math.fsum(values),
        top_k=top_k,
        token_ids=_packed(window.ids[1:] if values else [], "I"),
        token_logprobs=_packed(values, "f"),
        top_ids=_packed([token for top in tops for token, _ in top], "I"),
        top_logprobs=_packed([value for top in tops for _, value in top], "f"),
    )


def _top(entry: dict[str, float], top_k: int) -> list[tuple[int, float]]:
    """The likeliest first, of equals the lowest id, so that ties fall the same way for every variant."""
    found = [(int(token.removeprefix(PREFIX)), a_logprob(value, token)) for token, value in entry.items()]
    if not all(0 <= token < 1 << 32 for token, _ in found):
        raise ValueError(f"no token id: {max(found, key=lambda one: abs(one[0]))[0]}")
    found.sort(key=lambda pair: (-pair[1], pair[0]))
    if len(found) < top_k:
        raise ValueError(f"{len(found)} instead of {top_k} alternatives")
    return found[:top_k]


def _packed(values: Sequence[float], kind: str) -> str:
    """`kind`: I for uint32, f for float32."""
    return base64.b64encode(struct.pack(f"<{len(values)}{kind}", *values)).decode()
