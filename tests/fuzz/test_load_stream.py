"""A stream of any bytes: an answer or a failure with words, and the same one however the reads are cut."""

import json

from hypothesis import given
from hypothesis import strategies as st

from harness.loadgen.client.events import sse_events
from harness.loadgen.client.oddities import ODDITIES
from harness.loadgen.client.sse import parse, token_ids
from harness.loadgen.client.trace import Asked, Trace
from harness.loadgen.samples import row, sample
from tests.fuzz.budget import examples
from tests.fuzz.foreign import CUTS, JSON, changed, cut, damaged, encoded, readable

KINDS = {"server_error_object", "invalid_json", "incomplete_stream"}


def token(text, finish=None, **more):
    return {"id": "cmpl-1", "choices": [{"index": 0, "text": text, "finish_reason": finish, **more}]}


CHUNKS = [
    token("a"),
    token(""),
    token("b", token_ids=[5, 6]),
    token("c", "length"),
    {"id": "cmpl-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"id": "cmpl-2", "choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": None}]},
    {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}},
    {"error": {"message": "no", "code": 500}},
    {"message": "keep-alive"},
]
EVENT = st.one_of(
    st.sampled_from(CHUNKS).flatmap(changed).map(encoded).map(lambda data: b"data: " + data + b"\n\n"),
    st.sampled_from(CHUNKS).map(encoded).map(lambda data: b"data: " + data + b"\r\n\r\n"),
    st.sampled_from([b"data: [DONE]\n\n", b": ping\n\n", b"event: error\n", b"id: 7\n", b"\xef\xbb\xbf", b"data\n\n"]),
    JSON.map(encoded).map(lambda data: b"data: " + data + b"\n\n"),
    st.binary(max_size=20),
)
STREAM = st.lists(EVENT, max_size=8).map(b"".join)


def of(reads):
    return Trace(0, 0.0, sent_s=0.0, chunks=[(float(n), data) for n, data in enumerate(reads)], status=200, end_s=99.0)


def same_answer(stream):
    """What does not depend on how the bytes came."""
    return len(stream.token_s), stream.prompt_tokens, stream.completion_tokens, stream.error, stream.oddities


@examples(150)
@given(STREAM | STREAM.flatmap(damaged), CUTS)
def test_any_stream_is_an_answer_or_a_failure_with_words(body, cuts):
    whole = of([body])
    stream = parse(whole)
    assert stream.error is None or (stream.error.kind in KINDS and readable(stream.error.message))
    assert set(stream.oddities) <= set(ODDITIES) and len(json.dumps(row(sample(whole, Asked(4, 3))))) < 1 << 20
    ids = token_ids(whole)
    assert ids is None or all(b"%d" % one for one in ids)
    parts = cut(body, cuts)
    assert same_answer(parse(of(parts))) == same_answer(stream)
    assert token_ids(of(parts)) == ids
    assert [data for _, data in sse_events(parts)] == [data for _, data in sse_events([body])]
