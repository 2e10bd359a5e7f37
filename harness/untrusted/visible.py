"""Control characters of servers, checkpoints, datasets and stores, made visible where text leaves the program.

A terminal obeys escape sequences and carriage returns, a page and a terminal the overrides of the writing direction,
and a reader does not see what has no width: such characters are written as ``\\u001b``. Line feeds and tabs
stay, and so do joiners between letters of scripts that need them. Standard library only.
"""

import re

_HIDDEN = re.compile(
    "\r(?=\n)"  # a Windows line end
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)


def visible(text: str) -> str:
    """Return `text` with nothing in it that a terminal or a page obeys; the escapes are valid in JSON too."""
    if text.isprintable() and not _JOINERS.search(text):
        return text
    return _HIDDEN.sub(_escape, text)


def hides(text: str) -> bool:
    """Whether `visible` would change `text`."""
    return _HIDDEN.search(text) is not None


def one_entry(text: str) -> str:
    """Return `text` for a log: what follows its first line is indented, so that no line of it passes for an entry."""
    return visible(text).replace("\n", "\n    ")


_JOINERS = re.compile("[\u3164\uffa0\u200c\u200d]")


def _escape(match: re.Match[str]) -> str:
    if match[0] == "\r" and match.string[match.end() : match.end() + 1] == "\n":
        return ""
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
