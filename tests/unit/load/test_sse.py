import json
import random

import pytest

from harness.loadgen.client.events import sse_events
from harness.loadgen.client.sse import parse
from harness.loadgen.client.trace import Failure, Trace


def event(text=None, finish=None, usage=None, **extra):
    choices = [] if text is None else [{"index": 0, "text": text, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, "usage": usage, **extra}, ensure_ascii=False).encode() + b"\n\n"


def usage(prompt, completion):
    return event(usage={"prompt_tokens": prompt, "completion_tokens": completion})


DONE = b"data: [DONE]\n\n"
STREAM = [event("a"), event("ü"), event("€ 𝄞", "length"), usage(5, 3), DONE]


def trace(reads, error=None):
    """A trace whose n-th read came at n seconds."""
    return Trace(0, 0.0, sent_s=0.0, chunks=[(float(n), data) for n, data in enumerate(reads)], error=error)


def stream(*reads, error=None):
    return parse(trace(reads, error))


def test_a_read_an_event():
    s = stream(*STREAM)
    assert s.token_s == [0.0, 1.0, 2.0]
    assert (s.prompt_tokens, s.completion_tokens, s.merged_events, s.error) == (5, 3, 0, None)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("comment", [b"", b": keep-alive\n\n", b"event: message\nid: 7\nretry: 9\n"])
def test_any_framing_split_at_any_position(end, comment):
    """However the network cuts the bytes, the events are the same, and complete with their blank line."""
    body = b"".join(comment + part for part in STREAM).replace(b"\n", end)
    whole = [data for _, data in sse_events([body])]
    completed_at = [position for position, _ in sse_events(bytes([byte]) for byte in body)]
    assert len(whole) == len(completed_at) == 5
    assert all(body[: position + 1].endswith(end + end[:1]) for position in completed_at)
    for cut in range(len(body) + 1):
        first, second = body[:cut], body[cut:]
        found = list(sse_events([first, second]))
        assert [data for _, data in found] == whole
        assert [read == 0 for read, _ in found] == [position < cut for position in completed_at]
    s = stream(*(bytes([byte]) for byte in body))
    assert (len(s.token_s), s.completion_tokens, s.merged_events, s.error) == (3, 3, 0, None)


def test_random_splits_give_the_same_events():
    draw = random.Random(7)
    body = b"\xef\xbb\xbf" + b"".join(STREAM[:2]).replace(b"\n", b"\r\n") + b"".join(STREAM[2:])
    for _ in range(300):
        cuts = sorted(draw.sample(range(len(body)), draw.randrange(1, 40)))
        reads = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        s = stream(*reads)
        assert (len(s.token_s), s.completion_tokens, s.error) == (3, 3, None)


def test_a_token_has_the_time_of_the_read_that_completed_its_event():
    first = event("a")
    s = stream(first[:10], first[10:-1], first[-1:] + event("b") + event("c", "length")[:20], event("c", "length")[20:])
    assert s.token_s == [2.0, 2.0, 3.0]
    assert s.merged_events == 1


def test_data_over_several_lines_is_one_event():
    assert list(sse_events([b'data: {"a":\ndata:1}\n\n'])) == [(0, b'{"a":\n1}')]


def test_an_event_cut_off_by_the_end_still_counts():
    assert stream(event("a"), b"data: [DONE]").error is None


def test_role_chunk_is_no_token():
    role = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
    hi = b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n'
    end = b'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n\n'
    assert stream(role, hi, end, usage(1, 1), DONE).token_s == [1.0]
    # even where the usage asks for more: two tokens in one event
    assert stream(role, hi, hi, end, usage(1, 2), DONE).token_s == [1.0, 2.0]


def test_empty_events_are_tokens_when_the_usage_says_so():
    half = [event("a"), event(""), event("ü", "length")]
    assert stream(*half, usage(1, 3), DONE).token_s == [0.0, 1.0, 2.0]  # vLLM: half a character
    assert stream(*half, usage(1, 2), DONE).token_s == [0.0, 2.0]
    assert stream(*half, DONE).token_s == [0.0, 2.0]
    llama_cpp = [event("a"), event("b"), event("", "length")]
    assert stream(*llama_cpp, usage(1, 2), DONE).token_s == [0.0, 1.0]
    assert stream(event(""), event("a"), event(""), event("b", "length"), usage(1, 3)).token_s == [1.0, 2.0, 3.0]
    assert stream(event(""), event("ü", "length"), usage(1, 2)).token_s == [0.0, 1.0]


def test_invalid_utf8_does_not_break_an_event():
    s = stream(b'data: {"choices": [{"text": "\xff', b'\xfe", "finish_reason": "stop"}]}\n\n')
    assert (s.token_s, s.error) == ([1.0], None)


@pytest.mark.parametrize(
    ("reads", "kind"),
    [
        ([event("a"), b'data: {"error": {"message": "out of memory"}}\n\n', DONE], "server_error_object"),
        ([b'data: {"object": "error", "message": "no"}\n\n'], "server_error_object"),
        ([b'{"error": {"message": "no"}}'], "server_error_object"),
        ([event("a"), b"data: {nonsense\n\n", DONE], "invalid_json"),
        ([event("a"), b"data: 7\n\n", DONE], "invalid_json"),
        ([event("a"), b'data: {"choices": [7]}\n\n', DONE], "invalid_json"),
        ([event("a"), b'event: error\ndata: {"message": "worker lost", "code": 500}\n\n', DONE], "server_error_object"),
        ([event("a"), b"event: error\n", b'data: {"message": "worker lost"}\n\n', DONE], "server_error_object"),
        ([event("a"), b"data: out of memory\nevent: stream_error\n\n", DONE], "server_error_object"),
        ([event("a"), b"event: Error\n\n", DONE], "server_error_object"),
        ([event("a", "stop"), b"event: error"], "server_error_object"),
        ([event("a"), b'data: {"error": "worker lost"}\n\n', DONE], "server_error_object"),
        ([event("a"), b'data: {"errors": [{"message": "no GPU left"}]}\n\n', DONE], "server_error_object"),
        ([event("a"), b'data: {"type": "error", "detail": "no"}\n\n', DONE], "server_error_object"),
        ([event("a"), b'data: {"detail": "Internal Server Error"}\n\n', DONE], "server_error_object"),
        ([event("a"), b'data: {"code": 500, "message": "no"}\n\n', DONE], "server_error_object"),
        ([event("a"), b'{"error": {"message": "not even an event"}}\n', DONE], "server_error_object"),
        ([event("a"), b"data: [ERROR] worker lost\n\n", DONE], "invalid_json"),
        ([event("a"), event("", "abort"), usage(4, 1), DONE], "server_error_object"),
        ([event("a"), event("b", "error"), usage(4, 2), DONE], "server_error_object"),
        ([event("a"), event("b", "TIMED_OUT"), DONE], "server_error_object"),
        ([event("a"), event("b", "insufficient_system_resource"), DONE], "server_error_object"),
        ([event("a"), event("b", {"type": "abort", "message": "gone"}), DONE], "server_error_object"),
        (
            [
                b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": "error"}]}\n\n',
                DONE,
            ],
            "server_error_object",
        ),
        ([event("a"), b'data: {"choices": [{"text": "", "error": {"code": 502}}]}\n\n', DONE], "server_error_object"),
        ([b"<html>hello</html>"], "invalid_json"),
        ([b'{"choices": [{"text": "all at once", "finish_reason": "stop"}]}'], "incomplete_stream"),
        ([event("a"), event("b")], "incomplete_stream"),
        ([usage(1, 0), DONE], "incomplete_stream"),
        ([], "incomplete_stream"),
    ],
)
def test_typed_errors(reads, kind):
    assert stream(*reads).error.kind == kind


@pytest.mark.parametrize(
    "reads",
    [
        [event("a", error=None), event("b", "length", error=None), DONE],
        [event("a"), event("b", "content_filter"), DONE],
        [event("a"), event("b", "eos_token"), event("c", "repetition"), DONE],
        [b"event: completion\n" + event("a"), b"event: message\n", event("b", "stop"), DONE],
        [b": error\n\n", event("a"), b'data: {"type": "ping"}\n\n', event("b", "stop"), DONE],
        [
            event("a"),
            b'data: {"choices": [], "message": "", "prompt_filter_results": []}\n\n',
            event("b", "stop"),
            DONE,
        ],
    ],
)
def test_these_are_good_ends(reads):
    assert stream(*reads).error is None


KEEP_ALIVE = b'data: {"message": "keep-alive"}\n\n'


@pytest.mark.parametrize(
    "reads",
    [
        [KEEP_ALIVE, event("a"), event("b", "stop"), DONE],
        [event("a"), KEEP_ALIVE, KEEP_ALIVE, event("b"), DONE],
        [KEEP_ALIVE, event("a"), event("b", "length"), KEEP_ALIVE, usage(1, 2), DONE],
        [KEEP_ALIVE + event("a") + event("b", "stop") + DONE],
    ],
)
def test_a_message_between_tokens_is_no_error(reads):
    found = stream(*reads)
    assert found.error is None and len(found.token_s) == 2


def test_a_message_that_no_token_follows_is_an_error_unless_the_client_stopped_waiting():
    last = [event("a"), b'data: {"message": "worker lost"}\n\n']
    assert stream(*last, DONE).error == stream(*last).error == Failure("server_error_object", "worker lost")
    assert stream(*last, error=Failure("reset", "")).error.message == "worker lost"
    assert stream(KEEP_ALIVE, error=Failure("timeout", "30 s")).error == Failure("timeout", "30 s")
    assert stream(b'{"message": "worker lost"}').error == Failure("server_error_object", "worker lost")


@pytest.mark.parametrize("extra", [{"error": "lost"}, {"errors": ["lost"]}, {"errors": [{"message": "lost"}]}])
def test_an_error_beside_choices_is_one(extra):
    assert stream(event("a"), event("b", "stop", **extra), DONE).error.kind == "server_error_object"
    assert stream(event("a"), event("b", "stop", **dict.fromkeys(extra)), DONE).error is None


def test_an_error_event_says_what_went_wrong():
    assert (
        stream(event("a"), b'event: error\ndata: {"message": "worker lost"}\n\n', DONE).error.message == "worker lost"
    )
    assert stream(b"event: error\ndata: lost\ndata: twice\n\n").error.message == "lost\ntwice"


def test_the_servers_word_explains_a_broken_connection_and_nothing_else_does():
    reset = Failure("reset", "")
    assert stream(event("a"), b'data: {"error": "x"}\n\n', error=reset).error.kind == "server_error_object"
    assert stream(event("a"), b'data: {"cho', error=reset).error == reset
    assert stream(event("a"), error=reset).token_s == [0.0]
