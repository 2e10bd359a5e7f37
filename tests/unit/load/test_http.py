"""HTTP/1.1 responses, cut into reads in every way."""

import itertools
import random

import pytest

from harness.loadgen.client.http import BadHttp, Framing, Target, body_reads, parse_head

BODY = b'data: {"a": 1}\n\ndata: 0\r\n\r\n\n\ndata: [DONE]\n\n'


def chunked(*pieces: bytes, trailer: bytes = b"", extension: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    return head + chunks + b"0\r\n" + trailer + b"\r\n"


RESPONSES = {
    "chunked": chunked(BODY[:9], BODY[9:]),
    "a chunk that looks like the end": chunked(b"0\r\n\r\n", BODY, b"\r\n\r\n"),
    "trailers": chunked(BODY, trailer=b"Server-Timing: x\r\n"),
    "extensions": chunked(BODY, extension=b";name=value"),
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "interim responses before it": b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"
    b"HTTP/1.1 102 Processing\r\n\r\n" + chunked(BODY[:5], BODY[5:]),
    "no body": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\ncontent-length: 0\r\n\r\n",
}


def feed(response: bytes, cuts: list[int]) -> tuple[Framing, bytearray, list[int], int | None]:
    """The read after which the response was complete, None for never."""
    framing, data, lengths = Framing(1 << 20), bytearray(), []
    for index, (start, end) in enumerate(itertools.pairwise([0, *cuts, len(response)])):
        data += response[start:end]
        lengths.append(end - start)
        if not framing.more_to_come(data) and framing.complete(data):
            return framing, data, lengths, index
    return framing, data, lengths, None


@pytest.mark.parametrize("name", RESPONSES)
def test_the_end_is_found_at_the_last_byte_and_not_before(name):
    response = RESPONSES[name]
    for cut in range(1, len(response)):
        framing, data, _, index = feed(response, [cut])
        assert index == 1, cut
        assert bytes(data) == response
        assert framing.keep_alive
    assert feed(response, list(range(1, len(response))))[3] == len(response) - 1
    assert feed(response[:-1], [])[3] is None


@pytest.mark.parametrize("name", RESPONSES)
def test_the_body_is_the_same_however_it_was_cut(name):
    response = RESPONSES[name]
    expected = b"".join(data for _, data in body_reads(response, parse_head(response), [len(response)], [0.0]))
    assert expected.endswith(BODY) or name in ("no body", "a chunk that looks like the end")
    draw = random.Random(0)
    for _ in range(200):
        cuts = sorted(draw.sample(range(1, len(response)), draw.randrange(1, 20)))
        _, data, lengths, _ = feed(response, cuts)
        times = [float(n) for n in range(len(lengths))]
        reads = body_reads(bytes(data), parse_head(data), lengths, times)
        assert b"".join(data for _, data in reads) == expected
        for index, end in enumerate(itertools.accumulate(lengths)):  # a piece has the time of the read that brought it
            if end < parse_head(response).length:
                continue
            by_then = body_reads(response[:end], parse_head(response), [end], [0.0])
            assert sum(len(piece) for time, piece in reads if time <= index) == sum(len(p) for _, p in by_then)
        assert [time for time, _ in reads] == sorted({time for time, _ in reads})


def test_a_body_without_a_length_ends_with_the_connection():
    response = b"HTTP/1.0 200 OK\r\n\r\nthe rest"
    framing, data, lengths, index = feed(response, [25])
    assert index is None
    assert framing.complete_at_eof(data)
    assert not framing.keep_alive
    assert b"".join(piece for _, piece in body_reads(bytes(data), parse_head(data), lengths, [0.0, 1.0])) == b"the rest"


@pytest.mark.parametrize("cut", [10, 60, 100])
def test_a_response_that_is_cut_off_is_not_whole(cut):
    framing, data, _, index = feed(RESPONSES["chunked"][:cut], [])
    assert index is None
    assert not framing.complete_at_eof(data)


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nSSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 3000,
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    ],
)
def test_what_is_no_http_is_refused(response):
    with pytest.raises(BadHttp):
        feed(response, [])


def test_connection_close_is_not_kept():
    response = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert not feed(response, [])[0].keep_alive


def test_a_request_head_names_the_host():
    target = Target.of("http://127.0.0.1:8000", "/v1/completions")
    assert target.head({"Authorization": "Bearer k"}) == (
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
        b"Accept: text/event-stream\r\nAccept-Encoding: identity\r\nAuthorization: Bearer k\r\nContent-Length: "
    )
    assert b"Host: [::1]:8000\r\n" in Target.of("http://[::1]:8000", "/v1").head({})
    secure = Target.of("https://example.org/api/", "/v1/completions")
    assert (secure.tls, secure.port, secure.path) == (True, 443, "/api/v1/completions")
    assert b"Host: example.org\r\n" in secure.head({})


def ended(response: bytes, cut: int) -> tuple[int, bool]:
    """(bytes beyond its end, whether its connection is kept) of a response in two reads."""
    framing, data = Framing(1 << 20), bytearray()
    for part in filter(None, (response[:cut], response[cut:])):
        data += part
        if (not framing.more_to_come(data) or framing.may_have_ended(data)) and framing.complete(data):
            break
    else:
        raise AssertionError(f"cut at {cut}: the end was not seen")
    return framing.beyond(data), framing.keep_alive


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("extra", [b"data: late\n\n", RESPONSES["chunked"], RESPONSES["a length"]])
def test_bytes_beyond_the_end_are_seen_and_end_the_connection(name, extra):
    response = RESPONSES[name]
    for cut in range(len(response) + len(extra)):
        beyond, kept = ended(response + extra, cut)
        assert beyond == (0 if cut == len(response) else len(extra) if cut < len(response) else cut - len(response))
        assert kept == (beyond == 0)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: " + b"9" * 5000,
        b"Content-Length: " + b"9" * 15,  # more than any response may have
        b"Content-Length: -5",
        b"Content-Length: +5",
        b"Content-Length: 5, 5",
        b"Content-Length: 0x10",
        "Content-Length: \xb2".encode("latin-1"),
        b"Content-Length: 5\r\nContent-Length: 6",
    ],
)
def test_a_length_that_is_none_is_bad_http(head):
    with pytest.raises(BadHttp, match="Content-Length"):
        Framing(1 << 20).complete(bytearray(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\nhello"))


@pytest.mark.parametrize("size", [b"f" * 5000, b"f" * 15, b"-5", b"5_0", b"", b"zz"])
def test_a_chunk_size_that_is_none_is_bad_http(size):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(BadHttp, match="chunk"):
        Framing(1 << 20).complete(bytearray(head + size + b"\r\nhello"))


def test_a_chunk_that_does_not_end_where_its_size_says_is_bad_http():
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"
    with pytest.raises(BadHttp, match="ends in"):
        body_reads(response, parse_head(response), [len(response)], [0.0])
