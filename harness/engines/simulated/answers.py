"""What the server says: seeded words in the shapes of vLLM's OpenAI API. Pure.

A streamed event is joined from four pieces, of which three are made when the request comes: the hot path formats one
number, the moment of sending (`sent_ns`, CLOCK_MONOTONIC), which is last in every event that carries a token.
"""

import json
import random
from typing import TypedDict

from harness.engines.simulated.asked import Asked

COMMON_WORDS = """
    the of and to a in is that it was for on are as with they be at one have this from or had by but some what
    there we can out other were all your when up use how said each she which do their time if will way about many
    then them would write like so these her long make thing see him two has look more day could go come did my
    sound no most number who over know water than call first people may down side been now find
"""
WORDS = tuple(" " + word for word in COMMON_WORDS.split())
FIRST_ID = 1000  # the id of WORDS[0]: past the special tokens of any tokenizer
LETTERS = (" m", " M", " A", " B", " C", " D")  # what graders of one-letter answers look for, before other words
DONE = b"data: [DONE]\n\n"


class Alternative(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class ChatLogprob(Alternative):
    """An entry of a chat's `logprobs.content`."""

    top_logprobs: list[Alternative]


class Logprobs(TypedDict):
    """`logprobs` of a completion: an entry a token in each list; None: nothing precedes the first token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Answer:
    """One request's answer: token k is WORDS[(offset + k) % len(WORDS)]."""

    def __init__(self, asked: Asked, request_id: str, model: str, created: int):
        self.asked = asked
        self.request_id, self._model, self._created = request_id, model, created
        self._offset = asked.digest % len(WORDS)
        self._plain = asked.logprobs is None and not asked.token_ids
        empty = self._chunk(None, 0)
        text = json.dumps(empty, separators=(",", ":"))
        before, after = text.split('"\\u0000"')
        self._before = b"data: " + before.encode()
        self._after = after[:-1].encode() + b',"sent_ns":'

    def event(self, token: int, sent_ns: int) -> bytes:
        """Server-sent event of token `token`. The first of a chat has the role in a separate event before it."""
        if self._plain and token < self.asked.output_tokens - 1 and (token or not self.asked.chat):
            word = WORD_JSON[(self._offset + token) % len(WORDS)]
            return b"%b%b%b%d}\n\n" % (self._before, word, self._after, sent_ns)
        value = self._chunk(self._word(token), token)
        value["sent_ns"] = sent_ns
        event = _sse(value)
        if self.asked.chat and token == 0:
            delta = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
            event = _sse(self._head("chat.completion.chunk") | {"choices": [delta]}) + event
        return event

    def ending(self) -> bytes:
        """What follows the last token: the usage, where it was asked for, and the end of the stream."""
        if not self.asked.include_usage:
            return DONE
        kind = "chat.completion.chunk" if self.asked.chat else "text_completion"
        return _sse(self._head(kind) | {"choices": [], "usage": self._usage()}) + DONE

    def whole(self) -> dict[str, object]:
        """The answer in one piece."""
        asked = self.asked
        words = [self._word(token) for token in range(asked.output_tokens)]
        choice: dict[str, object] = {"index": 0, "finish_reason": asked.finish_reason, "stop_reason": None}
        if asked.chat:
            choice["message"] = {"role": "assistant", "content": "".join(words).strip()}
            entries = [self._logprobs(token) for token in range(asked.output_tokens)]
            choice["logprobs"] = None if asked.logprobs is None else {"content": [_chat_logprob(e) for e in entries]}
        else:
            choice["text"] = "".join(words)
            choice["logprobs"] = self._whole_logprobs()
        if asked.token_ids:
            choice["prompt_token_ids"] = asked.prompt_ids
            choice["token_ids"] = [self._id(token) for token in range(asked.output_tokens)]
        kind = "chat.completion" if asked.chat else "text_completion"
        return self._head(kind) | {"choices": [choice], "usage": self._usage()}

    # -- pieces -----------------------------------------------------------------------------------------------------

    def _word(self, token: int) -> str:
        return WORDS[(self._offset + token) % len(WORDS)]

    def _id(self, token: int) -> int:
        return FIRST_ID + (self._offset + token) % len(WORDS)

    def _head(self, kind: str) -> dict[str, object]:
        return {"id": self.request_id, "object": kind, "created": self._created, "model": self._model}

    def _usage(self) -> dict[str, int]:
        prompt, completion = self.asked.prompt_tokens, self.asked.output_tokens
        return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}

    def _chunk(self, word: str | None, token: int) -> dict[str, object]:
        """`word` None: a NUL marks its place."""
        asked = self.asked
        last = word is not None and token == asked.output_tokens - 1
        choice: dict[str, object] = {"index": 0}
        text = "\0" if word is None else word
        choice |= {"delta": {"content": text}} if asked.chat else {"text": text}
        choice |= {"logprobs": None, "finish_reason": asked.finish_reason if last else None, "stop_reason": None}
        if asked.logprobs is not None and word is not None:
            entry = self._logprobs(token)
            choice["logprobs"] = {"content": [_chat_logprob(entry)]} if asked.chat else _logprobs_of([entry])
        if asked.token_ids:
            choice["token_ids"] = [self._id(token)]
            if token == 0:
                choice["prompt_token_ids"] = asked.prompt_ids
        return self._head("chat.completion.chunk" if asked.chat else "text_completion") | {"choices": [choice]}

    def _logprobs(self, token: int) -> tuple[str, dict[str, float]]:
        """(the token, log-probabilities of it and of its alternatives), drawn anew for every request and position."""
        asked = self.asked
        said = f"token_id:{self._id(token)}" if asked.tokens_as_ids else self._word(token)
        if asked.logprob_token_ids:
            names = [f"token_id:{i}" if asked.tokens_as_ids else str(i) for i in asked.logprob_token_ids]
            return said, _drawn([said, *names], asked.digest + token)
        names = [said, *LETTERS, *WORDS][: max(1, (asked.logprobs or 0) + 1)]
        return said, _drawn(names, asked.digest + token)

    def _whole_logprobs(self) -> Logprobs | None:
        asked = self.asked
        if asked.logprobs is None:
            return None
        entries = [self._logprobs(token) for token in range(asked.output_tokens)]
        if not asked.echo:
            return _logprobs_of(entries)
        prompt = asked.prompt_ids or range(asked.prompt_tokens)
        drawn = random.Random(asked.digest)
        echoed = [self._echoed(token, drawn) for token in prompt]
        found = _logprobs_of(echoed + entries)
        found["token_logprobs"][0] = found["top_logprobs"][0] = None  # nothing is before the first token
        return found

    def _echoed(self, token: int, drawn: random.Random) -> tuple[str, dict[str, float]]:
        """A prompt's token and as many others, of falling probability, as were asked for."""
        top, value = {f"token_id:{token}": -drawn.expovariate(1.0)}, -2.0
        for other in range(1, (self.asked.logprobs or 0) + 1):
            top[f"token_id:{token + other}"] = value = value - drawn.expovariate(1.0)
        return f"token_id:{token}", top


WORD_JSON = tuple(json.dumps(word).encode() for word in WORDS)


def _sse(value: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _drawn(names: list[str], seed: int) -> dict[str, float]:
    """Log-probabilities, the largest first and for the first name: decoding is greedy."""
    drawn = random.Random(seed)
    said, *others = dict.fromkeys(names)
    found = sorted(((name, -1.0 - drawn.expovariate(0.5)) for name in others), key=lambda pair: -pair[1])
    return {said: -0.5, **dict(found)}


def _logprobs_of(entries: list[tuple[str, dict[str, float]]]) -> Logprobs:
    offsets, at = [], 0
    for said, _ in entries:
        offsets.append(at)
        at += len(said)
    return {
        "tokens": [said for said, _ in entries],
        "token_logprobs": [top[said] for said, top in entries],
        "top_logprobs": [top for _, top in entries],
        "text_offset": offsets,
    }


def _chat_logprob(entry: tuple[str, dict[str, float]]) -> ChatLogprob:
    said, top = entry
    alternatives: list[Alternative] = [{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in top.items()]
    return {"token": said, "logprob": top[said], "bytes": list(said.encode()), "top_logprobs": alternatives}
