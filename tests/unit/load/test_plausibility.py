"""What cannot be of one answer is named, and does not fail the request; what is no chunk at all fails it."""

import dataclasses
import json

import pytest

from harness.config.slo import Slo
from harness.loadgen.client.spool import Raw, trace
from harness.loadgen.client.sse import parse, token_ids
from harness.loadgen.client.trace import Asked, Trace
from harness.loadgen.flags import flags
from harness.loadgen.metrics import summarize
from harness.loadgen.samples import sample
from harness.records.load_result import LoadResult
from harness.records.point import LoadPoint
from tests.unit.load.samples import made

DONE = b"data: [DONE]\n\n"


def event(text, finish=None, **extra):
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **extra}).encode() + b"\n\n"


def raw_event(chunk):
    return b"data: " + (chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode()) + b"\n\n"


def usage(prompt, completion):
    return raw_event({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}})


def stream(*reads, beyond=b""):
    chunks = [(float(n), data) for n, data in enumerate(reads)]
    return parse(Trace(0, 0.0, sent_s=0.0, chunks=chunks, beyond=beyond))


A, B, C = event("a"), event("b"), event("c", "length")
ONE, OTHER = {"id": "cmpl-1"}, {"id": "cmpl-2"}


@pytest.mark.parametrize(
    ("reads", "oddities"),
    [
        ([A, B, C, usage(4, 3), DONE], ()),
        ([A, A, C, usage(4, 3), DONE], ()),  # two equal tokens
        ([A, B, C, DONE], ()),
        ([A, B, C, usage(4, 5), DONE], ()),  # several tokens in an event
        ([A, event(""), event("", "length"), usage(4, 1), DONE], ()),
        ([event("a", ""), event("b", ""), C, usage(4, 3), DONE], ()),  # an empty finish_reason is none
        ([A, B, C, usage(4, 2), DONE], ("extra_tokens",)),
        ([A, A, B, C, usage(4, 3), DONE], ("repeated_tokens",)),
        ([A, A, B, B, A, A, event("d"), event("d"), DONE], ("repeated_tokens",)),  # without usage: all of them twice
        ([A, A, B, B, A, A, event("d"), DONE], ()),
        ([A, C, B, usage(4, 3), DONE], ("late_tokens",)),
        ([A, C, DONE, B, usage(4, 3)], ("late_tokens",)),
        ([A, event("b"), DONE, B, usage(4, 3)], ("late_tokens",)),
        ([event("a", **ONE), event("x", **OTHER), event("b", "length", **ONE), usage(4, 3), DONE], ("mixed_answers",)),
        ([event("a", **ONE), event("b", **ONE), event("c", "stop", **ONE), usage(4, 3), DONE], ()),
        ([event("a", id="1"), event("b", id="2"), event("c", "stop", id="3"), usage(4, 3), DONE], ()),  # one a chunk
        ([A, raw_event({"choices": [{"index": 1, "text": "x"}]}), C, usage(4, 3), DONE], ("mixed_answers",)),
    ],
)
def test_streams_that_cannot_be_of_one_answer(reads, oddities):
    found = stream(*reads)
    assert (found.error, found.oddities) == (None, oddities)


def test_bytes_beyond_the_response_are_named_and_no_part_of_it():
    body = A + C + usage(4, 2) + DONE
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    for extra, oddities in ((b"", ()), (A, ("excess_bytes",)), (response, ("excess_bytes", "second_answer"))):
        data = response + extra
        raw = Raw(0, 0.0, 0.0, 0.0, 2.0, None, beyond=len(extra), data=data, lengths=[len(data)], times=[1.0])
        found = sample(trace(raw), Asked(4, 2))
        assert (found.error, found.oddities, list(found.token_s)) == (None, oddities, [1.0, 1.0])


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": 5},
        {"choices": {"0": {"text": "b"}}},
        {"choices": "none"},
        {"choices": [["b"]]},
        {"choices": [{"delta": "hi"}]},
        {"choices": [{"delta": ["hi"]}]},
        {"choices": [{"text": 5}]},
        {"choices": [{"text": {"a": 1}}]},
        {"choices": [{"delta": {"content": 7}}]},
        {"choices": [], "usage": [1, 2]},
        {"choices": [], "usage": {"completion_tokens": "3", "prompt_tokens": 4}},
        {"choices": [], "usage": {"completion_tokens": -3}},
        {"choices": [], "usage": {"completion_tokens": 2.5}},
        {"choices": [], "usage": {"completion_tokens": True}},
        {"choices": [], "usage": {"completion_tokens": [3]}},
        b'{"choices": [], "usage": {"completion_tokens": NaN}}',
        b'{"choices": [], "usage": {"completion_tokens": ' + b"9" * 5000 + b"}}",
        b'{"choices": ' + b"[" * 50_000,
        b'{"choices": [{"text": ' + b"[" * 900 + b"]" * 900 + b"}]}" + b"x",
        b"\x00\x1b[2J",
    ],
)
def test_a_chunk_of_other_types_fails_its_request_with_words_that_can_be_printed(chunk):
    found = stream(A, raw_event(chunk), C, DONE)
    assert found.error.kind == "invalid_json"
    assert found.error.message.isprintable() and len(found.error.message) < 400


def test_half_of_a_character_is_a_token():
    half = raw_event(b'{"choices": [{"index": 0, "text": "\\ud83d", "finish_reason": null}]}')
    found = stream(A, half, C, usage(4, 3), DONE)
    assert (found.error, len(found.token_s)) == (None, 3)


@pytest.mark.parametrize("ids", [["7"], [1.5], [True], [-1], {"a": 1}, "12", 7])
def test_token_ids_that_cannot_be_sent_again_are_none(ids):
    chunk = {"choices": [{"text": "a", "token_ids": ids}]}
    assert token_ids(Trace(0, 0.0, chunks=[(0.0, raw_event(chunk))])) is None


def test_a_usage_far_above_what_was_asked_is_not_counted():
    reads = [(0.0, A), (1.0, C), (2.0, usage(4, 10**9)), (3.0, DONE)]
    found = sample(Trace(0, 0.0, sent_s=0.0, chunks=reads), Asked(4, 2))
    assert (found.output_tokens, found.prompt_tokens, found.oddities) == (2, 4, ("impossible_usage",))


GOOD = made(0, 0.0, 0.002, [0.1, 0.2, 0.4], connect_s=0.001)


def verdict(samples, **changes):
    point = LoadPoint("single_stream", None, 200, concurrency=1)
    stored = {**summarize(samples, point=point, slo=Slo.of()).to_json(), "event_loop_lag_ms_p99": 0.2, **changes}
    result = LoadResult.from_json(stored)
    return {flag.code: flag for flag in flags(result, samples, point=point, expected_hit_rate=0.0)}


@pytest.mark.parametrize("oddity", ["extra_tokens", "late_tokens", "repeated_tokens", "mixed_answers", "excess_bytes"])
def test_what_cannot_be_is_a_caution_and_above_one_percent_invalid(oddity):
    odd = dataclasses.replace(GOOD, oddities=(oddity,))
    assert verdict([*[GOOD] * 198, odd, odd])[oddity].level == "caution"
    assert verdict([*[GOOD] * 197, odd, odd, odd])[oddity].level == "invalid"
    assert oddity not in verdict([GOOD] * 200)


def test_bytes_that_nobody_asked_for_count_as_excess():
    assert verdict([GOOD] * 200, unasked_reads=3)["excess_bytes"].level == "invalid"


def test_a_step_of_the_clock_is_flagged_and_is_not_said_to_be_tls():
    stepped = verdict([GOOD] * 200, clock_steps=2, clock_step_ms_max=5.0)
    assert stepped["clock_step"].level == "caution" and "2 times, by at most 5.0 ms" in stepped["clock_step"].message
    rejected = verdict([*[GOOD] * 199, dataclasses.replace(GOOD, rejected_stamps=1)])
    assert set(rejected) == {"rejected_stamps"} and "TLS" not in rejected["rejected_stamps"].message
    many = [dataclasses.replace(GOOD, rejected_stamps=1)] * 200
    assert verdict(many)["rejected_stamps"].level == "invalid"
