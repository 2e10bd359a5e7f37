"""Names that a reader elsewhere can use: hub ids stay, and of a local path only the last part. Pure."""

import re

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# An absolute path, or one from the home or the current folder, wherever it is in a text; no part of an address.
_PATH = re.compile(r"(?<![\w:/.$}~])(?:~|\.{1,2})?(?:/[\w.@+=-]+){2,}/?|(?<![\w:/.$}])(?:~|\.{1,2})/[\w.@+=-]+/?")
_WHOLE = re.compile(
    r"(?:~|\.{1,2})?/[^\n:]*/[^\n:]+|(?:~|\.{1,2})/[^\n:]+"
)  # a text that is a path, with spaces in it too
_CACHED = re.compile(r"/models--([\w.-]+?)--([\w.-]+)/snapshots/(\w+)")


def public(text: str) -> str:
    """Return a text without local paths: ``/home/me/models/Llama-FP8`` is ``Llama-FP8``.

    A folder of the hub's local cache is the hub id and commit that it holds.
    """
    return _last(text) if _WHOLE.fullmatch(text) else _PATH.sub(lambda match: _last(match[0]), text)


def _last(path: str) -> str:
    if cached := _CACHED.search(path):
        return f"{cached[1]}/{cached[2]}@{cached[3]}"
    return path.rstrip("/").rpartition("/")[2]


def hub_id(reference: str, local: frozenset[str] = frozenset()) -> str | None:
    """The repository of ``org/name[@revision]``; None for what is on this machine. `local`: known to be a folder."""
    name = public(reference).partition("@")[0]
    return name if reference not in local and HUB_ID.fullmatch(name) else None
