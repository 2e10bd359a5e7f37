"""Text files that users bring: UTF-8 with or without a byte order mark; a line of JSON lines ends at a line feed.

`str.splitlines` also ends lines at U+2028, U+2029, U+0085 and the ASCII separators, all of which JSON allows unescaped
inside a string (RFC 8259, 7) or which text from the web holds.
"""

from collections.abc import Iterator
from pathlib import Path


def read_text(path: Path, errors: str = "strict") -> str:
    return path.read_text(encoding="utf-8-sig", errors=errors)


def json_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of each line that is not blank."""
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line
