"""Text files that users bring: UTF-8, or UTF-16 and UTF-32 where a byte order mark says so; anything else is refused.

A line of JSON lines ends at a line feed. `str.splitlines` also ends lines at U+2028, U+2029, U+0085 and the ASCII
separators, all of which JSON allows unescaped inside a string (RFC 8259, 7) or which text from the web holds.
"""

import codecs
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 2 << 30  # of a whole file's text, decompressed
LONGEST_LINE = 256 << 20
MARKS = (  # UTF-32's first: UTF-16's is the beginning of it
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig")),
)


class TextError(ValueError):
    """A file is no text that can be read; the message has line and byte."""


def read_text(path: Path, errors: str = "strict") -> str:
    """Return the whole text with its line ends as line feeds. Raises OSError, and TextError for another encoding."""
    with open_file(path) as file:
        text = decode(file.read(MOST_BYTES + 1), errors)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def json_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of each line that is not blank. Raises OSError and TextError."""
    with open_file(path) as file:
        for number, line in enumerate(text_lines(file, "\n"), 1):
            if line.strip():
                yield number, line


def open_file(path: Path) -> BinaryIO:
    """Open a file; a pipe or a device, which may never end, raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file", str(path))
    return os.fdopen(descriptor, "rb")


def encoding(head: bytes) -> str:
    """Return the encoding that a byte order mark says; UTF-8 without one."""
    return next((name for mark, name in MARKS if head.startswith(mark)), "utf-8")


def decode(data: bytes, errors: str = "strict", line: int = 1) -> str:
    """`line`: the number of the first line. Raises TextError."""
    if len(data) > MOST_BYTES:
        raise TextError(f"more than {MOST_BYTES >> 30} GiB of text; split the file")
    name = encoding(data[:4])
    try:
        text = data.decode(name, errors)
    except UnicodeDecodeError as error:
        raise _not_text(data, error, line) from None
    if errors == "strict" and (at := text.find("\0")) >= 0:
        at_line = line + text.count("\n", 0, at)
        raise TextError(f"line {at_line}: a NUL character, as in UTF-16 without its mark; save the file as UTF-8 text")
    return text


def text_lines(file: BinaryIO | io.BufferedIOBase, newline: str | None) -> Iterator[str]:
    """Yield the lines of a file that is opened in binary mode, whole; `newline` as in `open`. Raises TextError."""
    name = encoding(file.read(4))
    file.seek(0)
    if name not in ("utf-8", "utf-8-sig"):
        data = file.read(MOST_BYTES + 1)  # a line feed's byte is part of other characters there
        yield from io.StringIO(decode(data), newline=newline)
        return
    total = 0
    for number, data in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
        total += len(data)
        if len(data) > LONGEST_LINE:
            raise TextError(f"line {number}: more than {LONGEST_LINE >> 20} MiB without a line end")
        if total > MOST_BYTES:
            raise TextError(f"line {number}: more than {MOST_BYTES >> 30} GiB of text; split the file")
        text = decode(data, line=number)
        if "\r" in text and newline != "\n":
            yield from io.StringIO(text, newline=newline)
        else:
            yield text


def _not_text(data: bytes, error: UnicodeDecodeError, line: int) -> TextError:
    before = data[: error.start]
    name = error.encoding.upper().removesuffix("-SIG")
    if name.startswith("UTF-8"):
        line += before.count(b"\n")
        column = error.start - before.rfind(b"\n")
        where = f"line {line}, byte {column}"
    else:
        line += before.decode(encoding(data[:4]), "replace").count("\n")
        where = f"line {line}, byte {error.start + 1} of the file"
    what = f"{data[error.start]:#04x} is" if error.start < len(data) else "the end is"
    return TextError(f"{where}: {what} not {name} text ({error.reason}); save the file as UTF-8")
