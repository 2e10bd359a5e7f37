"""HTTP/1.1 as far as the measured path needs it (RFC 9112): where a response ends, and what its body is.

While a cell runs, the client only asks whether a response is complete. Everything else is read from the kept bytes
afterwards. Interim responses (1xx, RFC 9110, 15.2) may come before any response and count as part of its head.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.redaction.masking import excerpt

HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n"
MOST_DIGITS = 15  # of a length
MAX_HEAD_BYTES = 64 << 10
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: [^\r\n]*)?\r\n")


class BadHttp(Exception):
    """The server sent something that is not HTTP/1.1."""


@dataclass(frozen=True)
class Target:
    """Where the requests go."""

    host: str
    port: int
    tls: bool
    path: str

    @classmethod
    def of(cls, base_url: str, path: str) -> "Target":
        url = urlsplit(base_url)
        tls = url.scheme == "https"
        return cls(url.hostname or "", url.port or (443 if tls else 80), tls, url.path.rstrip("/") + path)

    def head(self, headers: dict[str, str]) -> bytes:
        """The request up to the value of Content-Length."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        fields = {
            "Host": name if self.port in (80, 443) else f"{name}:{self.port}",
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            **headers,
        }
        lines = [f"POST {self.path} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items())]
        return "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")


class Framing:
    """Finds the end of one response in bytes that grow."""

    __slots__ = ("_position", "_seen", "_until", "head_end", "keep_alive", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes  # of a response that is looked at no further
        self.head_end = 0  # 0: the head is not there yet
        self.keep_alive = True
        self._until: int | None = None  # length of the whole response where it is known, else None
        self._position = -1  # of the next chunk's size; -1: not chunked
        self._seen = 0  # bytes that may_have_ended() has looked at

    def more_to_come(self, data: bytearray) -> bool:
        """Cheap: where True, `complete` need not be asked. A chunked response ends with an empty line, unless bytes
        follow in the same read: `may_have_ended` is for those."""
        return self._position >= 0 and len(data) < self.max_bytes and not data.endswith(HEAD_END)

    def may_have_ended(self, data: bytearray) -> bool:
        """Whether the last chunk may be among what came since this was asked last."""
        start, self._seen = max(0, self._seen - len(LAST_CHUNK)), len(data)
        return data.find(LAST_CHUNK, start) >= 0

    def complete(self, data: bytearray) -> bool:
        """Raises BadHttp."""
        if not self.head_end and not self._read_head(data):
            return False
        if self._until is None:
            self._until = self._skip_chunks(data) if self._position >= 0 else None
        if self._until is None or len(data) < self._until:
            return False
        self.keep_alive = self.keep_alive and len(data) == self._until  # what follows belongs to no request
        return True

    def beyond(self, data: bytearray) -> int:
        """How many bytes came after the end of a complete response: they are no part of it."""
        return 0 if self._until is None else max(0, len(data) - self._until)

    def complete_at_eof(self, data: bytearray) -> bool:
        """Whether a connection that closes here has delivered everything: a body without a length ends so."""
        return bool(self.head_end) and self._until is None and self._position < 0

    def _read_head(self, data: bytearray) -> bool:
        head = final_head(data)
        if head is None:
            if len(data) > MAX_HEAD_BYTES:
                raise BadHttp(f"no end of the response's head within {MAX_HEAD_BYTES} bytes: {_shown(data)}")
            return False
        self.head_end = head.length
        connection = head.headers.get("connection", "").lower()
        self.keep_alive = "close" not in connection and (head.minor == 1 or "keep-alive" in connection)
        if head.chunked:
            self._position = self.head_end
        elif (length := head.body_bytes) is not None:
            if length > self.max_bytes:
                raise BadHttp(f"Content-Length: {length}, the limit of this response is {self.max_bytes}")
            self._until = self.head_end + length
        else:
            self.keep_alive = False
        return True

    def _skip_chunks(self, data: bytearray) -> int | None:
        """Where the response ends; None where that has not come yet."""
        while (line_end := data.find(b"\r\n", self._position)) >= 0:
            size = chunk_size(data[self._position : line_end])
            if size == 0:  # trailers follow, or at once the empty line
                end = data.find(HEAD_END, line_end)
                return None if end < 0 else end + len(HEAD_END)
            if size > self.max_bytes:
                raise BadHttp(f"a chunk of {size} bytes, the limit of this response is {self.max_bytes}")
            after = line_end + 2 + size + 2
            if after > len(data):
                return None
            self._position = after
        return None


@dataclass(frozen=True)
class Head:
    minor: int  # of HTTP/1.x
    status: int
    headers: dict[str, str]  # lower-case names
    length: int  # bytes up to the body, with interim heads and the empty line

    @property
    def chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def body_bytes(self) -> int | None:
        """The body's length, chunked ones aside; None: it lasts until the connection closes. Raises BadHttp."""
        if self.status in (204, 304):
            return 0
        said = self.headers.get("content-length")
        if said is None:
            return None
        if len(said) > MOST_DIGITS or not (said.isascii() and said.isdecimal()):
            raise BadHttp(f"Content-Length: {excerpt(repr(said), 80)}")
        return int(said)


def parse_head(data: bytes | bytearray) -> Head:
    """The head of a response that has one. Raises BadHttp."""
    head = final_head(data)
    if head is None:
        raise BadHttp(f"no end of the response's head: {_shown(data)}")
    return head


def final_head(data: bytes | bytearray) -> Head | None:
    """The head after all interim ones; None when it is not there yet. Raises BadHttp."""
    start = 0
    while (end := data.find(HEAD_END, start)) >= 0:
        match = STATUS_LINE.match(data, start)
        if match is None:
            raise BadHttp(f"not an HTTP/1.1 response: {_shown(data[start : start + 4096])}")
        status = int(match[2])
        if status == 101:
            raise BadHttp("101: the server changes to another protocol that was not asked for")
        if status >= 200:
            return Head(int(match[1]), status, _headers(data[match.end() : end]), end + 4)
        start = end + 4
    if not b"HTTP/1.".startswith(data[start : start + 7]):
        raise BadHttp(f"not an HTTP/1.1 response: {_shown(data[start : start + 4096])}")
    return None


def _shown(data: bytes | bytearray) -> str:
    return excerpt(repr(bytes(data[:4096])), 80)


def _headers(lines: bytes | bytearray) -> dict[str, str]:
    """Raises BadHttp where two lengths are given."""
    headers: dict[str, str] = {}
    for line in bytes(lines).decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name == "content-length" and headers.get(name, value) != value:
            raise BadHttp(f"Content-Length: {excerpt(repr(headers[name]), 40)} and {excerpt(repr(value), 40)}")
        headers[name] = value
    return headers


def chunk_size(line: bytes | bytearray) -> int:
    """Return the size in a chunk's first line, extensions aside. Raises BadHttp."""
    digits = line if line.isalnum() else bytes(line).partition(b";")[0].strip()
    try:
        if digits.isalnum() and len(digits) <= MOST_DIGITS:  # int() would take a sign, too
            return int(digits, 16)
    except ValueError:
        pass
    raise BadHttp(f"chunk size {bytes(digits[:40])!r}")


def body_spans(data: bytes, head: Head) -> Iterator[tuple[int, int]]:
    """[start, end) of each piece of body in a response's bytes, as far as they came. Raises BadHttp."""
    if not head.chunked:
        length = head.body_bytes
        yield head.length, len(data) if length is None else min(len(data), head.length + length)
        return
    position = head.length
    while (line_end := data.find(b"\r\n", position)) >= 0:
        size = chunk_size(data[position:line_end])
        if size == 0:
            return
        start = line_end + 2
        yield start, min(start + size, len(data))
        position = start + size + 2
        if not data.startswith(b"\r\n", position - 2) and position <= len(data):
            raise BadHttp(f"a chunk of {size} bytes that ends in {data[position - 2 : position]!r}")


def body_reads(data: bytes, head: Head, lengths: Sequence[int], times: Sequence[float]) -> list[tuple[float, bytes]]:
    """(time, body bytes) of each read that brought any: `lengths` are the reads' bytes, framing included."""
    reads: list[tuple[float, bytes]] = []
    index, read_end = 0, lengths[0] if lengths else 0
    last = -1
    for start, end in body_spans(data, head):
        while start < end:
            while read_end <= start:
                index += 1
                read_end += lengths[index]
            stop = min(end, read_end)
            piece = data[start:stop]
            if index == last:
                reads[-1] = (times[index], reads[-1][1] + piece)
            else:
                reads.append((times[index], piece))
                last = index
            start = stop
    return reads
