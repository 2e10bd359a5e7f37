"""What a server answered, as the conversation's next turn says it again."""

import orjson

from harness.loadgen.client.events import sse_events
from harness.loadgen.client.requests import said_ids, said_message
from harness.loadgen.client.sse import token_ids
from harness.loadgen.client.trace import Failure, Trace

NO_IDS = Failure(
    "no_token_ids",
    "the server gives no token ids of its answers (vLLM: return_token_ids), so none can be continued; set api: chat",
)


def said_in(trace: Trace, chat: bool) -> bytes | Failure:
    """The answer as `continue_body` takes it, of a response that ended well."""
    if chat:
        return said_message(answer_text(trace))
    ids = token_ids(trace)
    return NO_IDS if ids is None else said_ids(ids)


def answer_text(trace: Trace) -> str:
    """The content of the first choice's deltas. Reasoning is left out, as a client of a reasoning model leaves it."""
    found: list[str] = []
    for _, data in sse_events(data for _, data in trace.chunks):
        try:
            choices = orjson.loads(data)["choices"]
            content = choices[0]["delta"]["content"] if choices else None
        except (ValueError, KeyError, TypeError, IndexError):  # [DONE], and deltas that are no text
            continue
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        found += [text for text in texts if isinstance(text, str)]
    return "".join(found)
