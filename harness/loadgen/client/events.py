"""Server-sent events (WHATWG HTML, 9.2.6) of a response, whatever reads the network cut it into.

Lines may end in LF, CRLF or CR; an event, a line, a CRLF or a UTF-8 sequence may be split over
reads, or many share one.
"""

import re
from collections.abc import Iterable, Iterator

LINE_END = re.compile(rb"\r\n|\n|\r")
ERROR_NAMES = (b"error", b"failed", b"failure", b"exception")  # ends of the names of events that are errors
BARE_ERROR = re.compile(rb'\s*\{\s*"(error|errors|detail|object"\s*:\s*"error)"')  # a line outside the protocol


class ErrorEvent(bytes):
    """The data of an event whose name says that it is an error."""


def sse_events(reads: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(index of the read that completed it, data) of each event. One that the stream's end cuts off counts too."""
    partial: list[bytes] = []  # the line that has not ended
    data: list[bytes] = []
    names: list[bytes] = []  # of the event that has not ended: the error names that it was given
    after_cr = False  # a CR ended the last read: an LF that comes next belongs to it
    read = 0
    for read, chunk in enumerate(reads):
        if (  # nearly every read: one line of data and the empty line that ends it
            chunk.startswith(b"data: ")
            and chunk.find(b"\n") == len(chunk) - 2
            and chunk.endswith(b"\n")
            and b"\r" not in chunk
            and not (partial or data or names or after_cr)
        ):
            yield read, chunk[6:-2]
            continue
        skip = after_cr and chunk.startswith(b"\n")
        after_cr = chunk.endswith(b"\r")
        *lines, rest = LINE_END.split(chunk[skip:])
        for line in lines:
            if partial:
                line = b"".join(partial) + line
                partial.clear()
            if line:
                _field(line, data, names)
            elif data or names:
                yield read, _data(data, names)
                data.clear()
                names.clear()
        if rest:
            partial.append(rest)
    if partial:
        _field(b"".join(partial), data, names)
    if data or names:
        yield read, _data(data, names)


def _field(line: bytes, data: list[bytes], names: list[bytes]) -> None:
    name, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")  # a comment has an empty name
    if name == b"data":
        data.append(value.removeprefix(b" "))
    elif name == b"event" and value.strip().lower().endswith(ERROR_NAMES):
        names.append(value)
    elif BARE_ERROR.match(line) and line.rstrip().endswith(b"}"):
        data.append(line)
        names.append(b"error")


def _data(data: list[bytes], names: list[bytes]) -> bytes:
    joined = b"\n".join(data)
    return ErrorEvent(joined) if names else joined
