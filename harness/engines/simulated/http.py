"""As much of HTTP/1.1 (RFC 9112) as the server needs: requests out of a buffer, responses as bytes. Pure."""

import json
from dataclasses import dataclass
from typing import Any

MAX_HEAD_BYTES = 64 << 10
MAX_BODY_BYTES = 64 << 20
REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required",
    413: "Content Too Large", 431: "Request Header Fields Too Large",
}  # fmt: skip
ERROR_TYPES = {404: "NotFoundError"}


class Refused(Exception):
    """A request that is answered with an error. `fatal`: what follows on the connection cannot be read."""

    def __init__(self, status: int, message: str, *, fatal: bool = False):
        super().__init__(message)
        self.status, self.fatal = status, fatal


@dataclass(frozen=True)
class Head:
    method: str
    path: str
    length: int  # of the body
    close: bool  # the connection ends with this response
    request_id: str | None
    wants_continue: bool


def read_head(buffer: bytearray) -> Head | None:
    """Takes a request's head out of `buffer`; None while it is incomplete. Raises Refused."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0 or end > MAX_HEAD_BYTES:
        if len(buffer) > MAX_HEAD_BYTES:
            raise Refused(431, f"a request head of more than {MAX_HEAD_BYTES} bytes", fatal=True)
        return None
    first, *lines = bytes(buffer[:end]).decode("latin-1").lstrip("\r\n").split("\r\n")
    del buffer[: end + 4]
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(400, f"not an HTTP/1.1 request line: {first[:100]!r}", fatal=True)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise Refused(411, "send the body with Content-Length, not in chunks", fatal=True)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise Refused(400, f"Content-Length {length[:30]!r} is not a number", fatal=True)
    if int(length) > MAX_BODY_BYTES:
        raise Refused(413, f"a body of {length} bytes; at most {MAX_BODY_BYTES} are read", fatal=True)
    connection = headers.get("connection", "").lower()
    return Head(
        method=words[0],
        path=words[1].partition("?")[0],
        length=int(length),
        close="close" in connection or (words[2] == "HTTP/1.0" and "keep-alive" not in connection),
        request_id=headers.get("x-request-id"),
        wants_continue=headers.get("expect", "").lower() == "100-continue",
    )


def response(status: int, body: bytes, content_type: str = "application/json", *, close: bool = False) -> bytes:
    connection = b"Connection: close\r\n" if close else b""
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status,
        REASONS[status].encode(),
        content_type.encode(),
        len(body),
        connection,
        body,
    )


def json_response(status: int, value: Any, *, close: bool = False) -> bytes:
    return response(status, json.dumps(value).encode(), close=close)


def error_response(refused: Refused, *, close: bool = False) -> bytes:
    """In vLLM's shape."""
    kind = ERROR_TYPES.get(refused.status, "BadRequestError")
    error = {"message": str(refused), "type": kind, "param": None, "code": refused.status}
    return json_response(refused.status, {"error": error}, close=close or refused.fatal)


def stream_head(*, close: bool) -> bytes:
    connection = b"Connection: close\r\n" if close else b""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
        b"Transfer-Encoding: chunked\r\n" + connection + b"\r\n"
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
