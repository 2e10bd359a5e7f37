"""From a trace's bytes to token times: server-sent events that hold OpenAI completion chunks.

A token's time is the arrival of the read that completed its event. What an event is does not depend on how the
network cut the stream (events.py).

A stream that ends in an error is a failed request, however the server says it: an event named error, a chunk that is
an error object, a line of JSON that is no event, a choice that was aborted (protocol/failures.py). A chunk that has
only a message, like `{"message": "keep-alive"}`, is an error if no token and no finish_reason follows.

A stream that ends well may still say what cannot be: `oddities` names it (oddities.py).
"""

from dataclasses import dataclass
from typing import Any

import orjson

from harness.loadgen.client.events import ErrorEvent, sse_events
from harness.loadgen.client.oddities import several_answers, surplus
from harness.loadgen.client.trace import Failure, Trace
from harness.protocol.failures import bare_message, explicit_error, failed_choice, stated_error
from harness.protocol.replies import BadReply, a_count, parse_json, shown, words


@dataclass(frozen=True)
class Stream:
    """What one response said, and when."""

    token_s: list[float]  # arrival of each event that carried a token
    merged_events: int  # of those, how many came in one read with an earlier one, and so have its time
    prompt_tokens: int | None  # by the server's usage
    completion_tokens: int | None
    error: Failure | None
    oddities: tuple[str, ...] = ()


# (read that completed it, whether it has text, whether it carries the reason why the stream ended): a plain tuple,
# because there is one for each token of a study.
Event = tuple[int, bool, bool]


def parse(trace: Trace) -> Stream:
    """The token events of a response. A failure of the connection is reported, unless the server itself said why."""
    try:
        return _parse(trace)
    except Exception as error:  # the boundary: whatever a server sent, it costs this request and no other
        body = b"".join(data for _, data in trace.chunks)
        return Stream([], 0, None, None, Failure("unreadable", f"{error!r} while reading {shown(body)}"))


def _parse(trace: Trace) -> Stream:
    reads = [data for _, data in trace.chunks]
    events: list[Event] = []
    said: list[bytes] = []  # the events with text, up to the answer's end
    names: list[Any] = []  # of each event with text the id of its answer
    usage: dict[str, Any] = {}
    done = finished = late = mixed = False  # finished: a choice had a finish_reason
    bare: tuple[int, str] | None = None  # the last chunk with a message alone: (events before it, message)
    error = None
    for read, data in sse_events(reads):
        if not data.startswith(b"{") and data.strip() == b"[DONE]":
            done = True
            continue
        chunk, problem = _chunk(data)
        if problem is None:
            usage = chunk.get("usage") or usage
            choices = chunk.get("choices") or ()
            if not choices and (message := bare_message(chunk)):
                bare = (len(events), message)
            for choice in choices:
                try:
                    event = _event(read, choice)
                except BadReply as reason:
                    problem = _no_chunk(str(reason), data)
                    continue
                has_text = is_last = False
                if event is not None:
                    _, has_text, is_last = event
                    if has_text:
                        if finished or done:
                            late = True
                        else:
                            said.append(data)
                        if choice.get("index"):
                            mixed = True
                        names.append(chunk.get("id"))
                    finished = finished or is_last
                    events.append(event)
                if (is_last or not has_text) and (why := failed_choice(choice)):
                    problem = Failure("server_error_object", why)
        if problem is not None and (error is None or problem.kind == "server_error_object"):
            error = problem
    waited = trace.error is not None and trace.error.kind in ("timeout", "cancelled")  # the message may be a keep-alive
    if error is None and bare and bare[0] == len(events) and not (finished or waited):
        error = Failure("server_error_object", bare[1])
    done = done or finished
    try:
        prompt_tokens, completion_tokens = _counts(usage)
    except BadReply as reason:
        prompt_tokens = completion_tokens = None
        error = error or Failure("invalid_json", str(reason))
    tokens = _token_events(events, completion_tokens)
    if error is None and trace.error is None and not (done and tokens):
        error = _unstreamed(reads) or Failure("incomplete_stream", f"it ended after {len(tokens)} tokens")
    said_why = error is not None and error.kind == "server_error_object"
    refused = trace.error is not None and trace.error.kind.startswith("http_")  # its status decides the advice
    if trace.error is not None and (refused or not said_why):
        error = trace.error
    found = {"late_tokens": late, "mixed_answers": mixed or several_answers(names), **surplus(said, completion_tokens)}
    found |= {"excess_bytes": bool(trace.beyond), "second_answer": trace.beyond.startswith(b"HTTP/1.")}
    return Stream(
        token_s=[trace.chunks[read][0] for read in tokens],
        merged_events=len(tokens) - len(set(tokens)),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        error=error,
        oddities=tuple(name for name, is_so in found.items() if is_so),
    )


def _counts(usage: dict[str, Any]) -> tuple[int | None, int | None]:
    """Raises BadReply."""
    prompt_tokens = a_count(usage.get("prompt_tokens"), "usage.prompt_tokens")
    return prompt_tokens, a_count(usage.get("completion_tokens"), "usage.completion_tokens")


def token_ids(trace: Trace) -> list[int] | None:
    """The ids of the answer's tokens, from a server that was asked for them; None if it gives none that can be sent
    again."""
    ids: list[int] = []
    for _, data in sse_events(data for _, data in trace.chunks):
        chunk, problem = _chunk(data) if data.strip() != b"[DONE]" else ({}, None)
        if problem is None:
            for choice in chunk.get("choices") or []:
                found = choice.get("token_ids") or []
                if not isinstance(found, list) or not all(type(one) is int and one >= 0 for one in found):
                    return None
                ids += found
    return ids or None


def _chunk(data: bytes) -> tuple[dict[str, Any], Failure | None]:
    """An event's JSON, and what is wrong with it."""
    if isinstance(data, ErrorEvent):
        return {}, Failure("server_error_object", _said(data))
    try:
        chunk = orjson.loads(data)
    except ValueError:
        try:
            chunk = parse_json(data)  # a broken character is a token all the same
        except BadReply as reason:
            return {}, Failure("invalid_json", str(reason))
    if type(chunk) is not dict:
        return {}, _no_chunk("not an object", data)
    suspect = chunk.get("error") or chunk.get("errors") or not chunk.get("choices")
    if suspect and (error := explicit_error(chunk)):
        return chunk, Failure("server_error_object", error)
    choices, usage = chunk.get("choices"), chunk.get("usage")
    if choices and type(choices) is not list:
        return {}, _no_chunk("choices is not a list", data)
    for choice in choices or ():
        if type(choice) is not dict:
            return {}, _no_chunk("a choice is not an object", data)
    if usage and type(usage) is not dict:
        return {}, _no_chunk("usage is not an object", data)
    return chunk, None


def _no_chunk(why: str, data: bytes) -> Failure:
    return Failure("invalid_json", f"not a completion chunk ({why}): {shown(data)}")


def _said(data: bytes) -> str:
    """What an error event says: its error object's words, or its text."""
    try:
        found = orjson.loads(bytes(data))
    except ValueError:
        found = None
    return (isinstance(found, dict) and stated_error(found)) or words(data, 300) or "an error event without data"


def _event(read: int, choice: dict[str, Any]) -> Event | None:
    """None for chat's first chunk, which announces the role and is never a token. Raises BadReply."""
    finished = bool(choice.get("finish_reason"))
    text = choice.get("text")
    if not text:
        delta = choice.get("delta") or {}
        if type(delta) is not dict:
            raise BadReply(f"delta is {shown(delta)}, not an object")
        text = delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning")
        text = text or delta.get("tool_calls") or delta.get("refusal")  # the arguments of a call are tokens too
        if not text and delta.get("role"):
            return None
    if text and type(text) is not str and type(text) is not list:  # a list of parts: Mistral's reasoning
        raise BadReply(f"the text is {shown(text)}, not a text")
    return read, bool(text), finished


def _token_events(events: list[Event], completion_tokens: int | None) -> list[int]:
    """The reads of the events that carried a token: those with text, and of the empty ones as many as the usage still
    misses.

    vLLM sends an empty event for a token whose bytes are not yet a whole character; other servers send empty events
    that are no tokens (a first one, heartbeats, llama.cpp's last). Only the server's own count tells them apart.
    """
    with_text = [read for read, has_text, _ in events if has_text]
    missing = (completion_tokens or 0) - len(with_text)
    if missing <= 0 or len(with_text) == len(events):
        return with_text
    first = next((index for index, (_, has_text, _) in enumerate(events) if has_text), len(events))
    empty = [index for index, (_, has_text, _) in enumerate(events) if not has_text]
    # most likely a token first: inside the text, then before it (nearest first), then the last event
    empty.sort(key=lambda index: (events[index][2], max(0, first - index), index))
    counted = set(empty[:missing])
    return [read for index, (read, has_text, _) in enumerate(events) if has_text or index in counted]


def _unstreamed(reads: list[bytes]) -> Failure | None:
    """What a 200 that is no event stream says: an error object, or bytes that are nothing."""
    body = b"".join(reads).strip()
    if not body or body.startswith((b"data:", b":", b"event:", b"id:", b"retry:")):
        return None
    chunk, problem = _chunk(body)
    if problem is None and (message := bare_message(chunk)):
        problem = Failure("server_error_object", message)
    return problem or Failure("incomplete_stream", "the server answered in one piece instead of streaming")
