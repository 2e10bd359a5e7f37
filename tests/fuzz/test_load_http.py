"""A response of any bytes: complete, incomplete or bad HTTP, and the same however the reads are cut."""

from hypothesis import given
from hypothesis import strategies as st

from harness.loadgen.client.http import BadHttp, Framing
from harness.loadgen.client.spool import Raw, trace
from harness.loadgen.client.sse import parse
from tests.fuzz.budget import examples
from tests.fuzz.foreign import CUTS, cut, damaged, readable

LIMIT = 1 << 16
BODY = b'data: {"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def chunked(pieces, size=b"%x", end=b"0\r\n\r\n"):
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(size % len(p) + b"\r\n" + p + b"\r\n" for p in pieces) + end


@st.composite
def responses(draw):
    status = draw(
        st.sampled_from([b"200 OK", b"200", b"204 None", b"307 Moved\r\nLocation: http://[", b"429 Slow", b"500 Bad"])
    )
    pieces = cut(BODY, draw(CUTS))
    body = draw(
        st.sampled_from(
            [
                chunked(pieces),
                chunked(pieces, size=b"%X;ext=1"),
                chunked(pieces, end=b"0\r\nTrailer: x\r\n\r\n"),
                b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
                b"Content-Length: %b\r\n\r\n%b" % (draw(st.sampled_from([b"9" * 5000, b"-1", b"0", b"5, 5"])), BODY),
                b"Connection: close\r\n\r\n" + BODY,
            ]
        )
    )
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    return interim + b"HTTP/1.1 " + status + b"\r\n" + body


def read(parts):
    """As the client reads: (outcome, bytes taken, its trace)."""
    framing, data, lengths = Framing(LIMIT), bytearray(), []
    outcome = None
    for part in filter(None, parts):
        data += part
        lengths.append(len(part))
        if framing.more_to_come(data) and not framing.may_have_ended(data):
            continue
        try:
            if framing.complete(data):
                outcome = "complete"
                break
        except BadHttp as error:
            assert readable(str(error))
            outcome = "bad_http"
            break
    end = len(data) - framing.beyond(data)
    raw = Raw(0, 0.0, 0.0, 0.0, 9.0, None, beyond=framing.beyond(data), data=bytes(data))
    raw.lengths, raw.times = lengths, [float(n) for n in range(len(lengths))]
    return outcome, end, trace(raw)


@examples(175)
@given(responses() | responses().flatmap(damaged), st.binary(max_size=30) | responses(), CUTS)
def test_any_response_is_the_same_however_it_is_cut(response, more, cuts):
    whole, first = response + more, read([response])
    found = read(cut(whole, cuts))
    for outcome, end, answer in (first, found):
        assert answer.error is None or readable(answer.error.message)
        assert answer.error is None or answer.error.kind == "bad_http" or answer.error.kind.startswith("http_")
        assert end <= len(whole)
        parse(answer)
        assert outcome != "complete" or answer.status is not None or answer.error.kind == "bad_http"
    together = read([whole])
    if together[0] == found[0] == "complete":
        assert (found[1], body(found[2])) == (together[1], body(together[2]))
    if first[0] == "complete":
        assert (together[0], together[1]) == (first[0], first[1]), "what follows a response is no part of it"


def body(answer):
    return answer.status, b"".join(data for _, data in answer.chunks), answer.error and answer.error.kind


@examples(60)
@given(st.lists(responses(), min_size=2, max_size=3), CUTS)
def test_responses_that_follow_one_another_are_told_apart(several, cuts):
    alone = [read([one]) for one in several]
    if any(outcome != "complete" for outcome, *_ in alone):
        return
    outcome, end, answer = read([b"".join(several)])
    assert (outcome, end) == ("complete", alone[0][1])
    assert answer.beyond == b"".join(several)[end:]
    assert ("second_answer" in parse(answer).oddities) == (alone[0][1] == len(several[0]))


@examples(60)
@given(st.binary(max_size=60), CUTS)
def test_any_bytes_are_no_crash(data, cuts):
    for parts in ([data], cut(data, cuts), [bytes([byte]) for byte in data]):
        read(parts)
