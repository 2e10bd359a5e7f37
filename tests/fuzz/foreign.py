"""Strategies for what a server may send: bytes near to a good answer, and JSON of every shape."""

import itertools
import json
import math

from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.sampled_from([10**30, -1, 0.5, 1e308, -1e308, math.nan, math.inf, -math.inf, -0.0, 2**63]),
    st.floats(),
)
TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["\ud800", "\x1b[2J", "m", "M", " m", "token_id:5", "stop", "16", ""])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
KEYS = st.sampled_from(
    [
        *("choices", "text", "delta", "message", "content", "finish_reason", "index", "id", "usage", "error", "errors"),
        *("prompt_tokens", "completion_tokens", "logprobs", "top_logprobs", "token_logprobs", "tokens", "token"),
        *("logprob", "token_ids", "object", "type", "detail", "role", "reasoning_content", "data", "models", "name"),
        *("model", "has_more", "max_model_len", "status", "code", "m", "M", "token_id:5"),
    ]
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | TEXTS, inner, max_size=4),
    max_leaves=12,
)
CUTS = st.lists(st.integers(0, 10_000), max_size=8)


def changed(good, other=JSON):
    """A good JSON value with some of its parts replaced, at any depth."""
    if isinstance(good, dict):
        fields = [changed(value, other) for value in good.values()]
        whole = st.tuples(*fields).map(lambda values: dict(zip(good, values, strict=True)))
        left_out = st.tuples(whole, st.sampled_from(list(good) or [None])).map(
            lambda pair: {key: value for key, value in pair[0].items() if key != pair[1]}
        )
        return _mostly(whole, left_out, st.tuples(whole, st.dictionaries(KEYS, other, max_size=2)).map(_merged), other)
    if isinstance(good, list):
        whole = st.tuples(*[changed(value, other) for value in good]).map(list)
        return _mostly(whole, whole.map(lambda values: values * 2), other)
    return _mostly(st.just(good), other)


def _merged(pair):
    return pair[0] | pair[1]


def _mostly(usual, *others):
    """`usual` nine times in ten, so that a value of many parts keeps most of them."""
    return st.integers(0, 9).flatmap(lambda n: st.one_of(*others) if n == 0 else usual)


def readable(text: str) -> bool:
    """Whether a terminal shows it as it is."""
    return text.replace("\n", "").isprintable()


def encoded(value) -> bytes:
    return json.dumps(value).encode()


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` as the reads of a network."""
    places = sorted({place % (len(data) + 1) for place in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@st.composite
def damaged(draw, good: bytes) -> bytes:
    """Good bytes of which a part is left out, doubled, swapped for noise, or to which something is added."""
    data = bytearray(good)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        data[start:end] = draw(
            st.one_of(st.binary(max_size=12), st.just(bytes(data[start:end]) * 2), st.sampled_from(MARKS))
        )
    return bytes(data)


MARKS = [
    *(b"\r\n", b"\n\n", b"\r", b"0\r\n\r\n", b"data: ", b"data: [DONE]\n\n", b"event: error\n", b"\xff\xfe", b"\x00"),
    *(b"[" * 2000, b"9" * 5000, b"HTTP/1.1 200 OK\r\n\r\n", b"Content-Length: 5\r\n", b"NaN", b"\\ud800", b'"'),
]
