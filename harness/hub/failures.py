"""An exception of huggingface_hub, datasets or transformers -> one line: what is wrong, where, what to do.

The libraries wrap each other's errors, so the whole chain of causes is searched for the one that decides.
The compression worker runs this file without harness installed: standard library, and huggingface_hub when called.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = re.compile(r"Dataset scripts are no longer supported, but found ([\w.-]+)")
SIZES = re.compile(r"should be of size (\d+) but has size (\d+) \(.*?([^/()…]*)\)\.")
XET = re.compile(r"CAS Client Error: .*?\((https?://[^/\s)]+)")  # hf_xet's
NO_CONFIG = re.compile(r"BuilderConfig '[^']*' not found\. Available: \[.*?\]", re.DOTALL)
BUSY = (408, 500, 502, 503, 504)
TOKEN = "HF_TOKEN"
TOKEN_VARIABLES = (TOKEN, "HUGGING_FACE_HUB_TOKEN")
MOST_CHARS = 300


@dataclass(frozen=True)
class Place:
    """A repository of the hub, as messages name it."""

    name: str  # org/name
    kind: str = "dataset"  # dataset | model
    revision: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{'checkpoint' if self.kind == 'model' else self.kind} {self.name}{at}"

    @property
    def page(self) -> str:
        """The repository's page: on the hub itself also where HF_ENDPOINT names a mirror of it."""
        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"https://huggingface.co/{prefix}{self.name}"


def explain(error: BaseException, place: Place) -> str:
    """Return the line; of an error that is none of the hub's, the first line of what it says."""
    return known(error, place) or f"{place} cannot be loaded ({first_line(error)})"


def known(error: BaseException, place: Place) -> str | None:
    """Return the line for an error that says what happened on the way to the hub; None for any other."""
    chain = list(_chain(error))
    for found in chain:
        if said := _status(found, place) or _local(found, place):
            return said
    return next((said for found in chain if (said := _text(str(found), place))), None)


def token_source() -> str | None:
    """Return where the token that is sent comes from, never the token: a variable's name or a file."""
    for name in TOKEN_VARIABLES:
        if os.environ.get(name, "").strip():
            return name
    from huggingface_hub import constants

    path = Path(constants.HF_TOKEN_PATH)
    return str(path) if path.is_file() and path.read_text(errors="replace").strip() else None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that says something, shortened and without control characters."""
    lines = (line.strip() for line in str(error).splitlines())
    line = next((line for line in lines if line), type(error).__name__)
    return printable(line)


def printable(text: str) -> str:
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + "..."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes, each once, the outermost first."""
    pending, seen = [error], set()
    while pending:
        found = pending.pop(0)
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            pending += [cause for cause in (found.__cause__, found.__context__) if cause is not None]


def _status(error: BaseException, place: Place) -> str | None:
    """Explain an answer of the hub by its status and its X-Error-Code."""
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if not isinstance(status, int) or status < 400:
        return None
    code = response.headers.get("X-Error-Code")
    message = response.headers.get("X-Error-Message") or ""
    if code == "GatedRepo":
        return _gated(place)
    if code == "RevisionNotFound":
        return _no_revision(place)
    if code == "EntryNotFound":
        return f"{place} has no file {_file(response)}; correct the id or the revision ({place.page}/tree/main)"
    if code == "RepoNotFound" or status in (401, 404):
        if "Invalid credentials" in message:
            return f"{place}: the hub refuses the token of {token_source()} (401); replace it, or unset it"
        return _unknown(place)
    if status == 403:
        said = f": {printable(message)}" if message else ""
        return f"{place}: the hub refuses access (403{said}); use a token with access to it ({place.page})"
    if status == 429:
        wait = _seconds(response.headers)
        more = "" if token_source() else f", or export {TOKEN} for a higher limit"
        return f"{place}: {_endpoint()} is rate-limiting this machine (429); try again {wait}{more}"
    if status in BUSY:
        return f"{place}: {_endpoint()} answers {status} repeatedly; try again later (https://status.huggingface.co)"
    return f"{place}: {_endpoint()} answers {status}; correct the id, or try again"


def _gated(place: Place) -> str:
    if source := token_source():
        return (
            f"{place} is gated, and the account of {source} has no access to it; "
            f"accept its terms or request access at {place.page}"
        )
    return (
        f"{place} is gated, and no token is set; accept its terms at {place.page}, "
        f"then export a token of that account as {TOKEN}"
    )


def _unknown(place: Place) -> str:
    """Explain what the hub answers for a private repository too: it does not tell these apart."""
    if source := token_source():
        return f"{place} does not exist on the hub, or the account of {source} has no access to it; correct the id"
    return f"{place} does not exist on the hub, or is private; correct the id, or export {TOKEN} for a private one"


def _local(error: BaseException, place: Place) -> str | None:
    """Explain what happened without an answer: offline, a script instead of data, an incomplete download."""
    from huggingface_hub import constants

    name = type(error).__name__
    if name in ("OfflineModeIsEnabled", "LocalEntryNotFoundError") and constants.HF_HUB_OFFLINE:
        return offline(place)
    if name in ("ConnectError", "ConnectTimeout", "ReadTimeout"):
        return f"{place} is not in the hub's cache, and {_endpoint()} does not answer; connect, or use local files"
    if name in ("EmptyDatasetError", "DataFilesNotFoundError"):
        return f"{place} has no data files; name another revision of it, or use local files ({place.page}/tree/main)"
    return None


def offline(place: Place) -> str:
    from huggingface_hub import constants

    by_transformers = os.environ.get("TRANSFORMERS_OFFLINE") and not os.environ.get("HF_HUB_OFFLINE")
    variable = "TRANSFORMERS_OFFLINE" if by_transformers else "HF_HUB_OFFLINE"
    return (
        f"{place} is not in the hub's cache {constants.HF_HUB_CACHE}, and {variable} is set; "
        "unset it, or fill the cache where there is a network"
    )


def _text(said: str, place: Place) -> str | None:
    """Explain errors that differ in their text only: `datasets` raises them without their cause."""
    if found := SCRIPT.search(said):
        return (
            f"{place} is a loading script ({found[1]}), which `datasets` no longer runs; name a dataset of data files, "
            "or the revision refs/convert/parquet of this one"
        )
    if found := SIZES.search(said):
        return f"{place}: the download of {found[3]} has {found[2]} of {found[1]} bytes; run the same command again"
    if "OfflineModeIsEnabled" in said or "offline mode is enabled" in said:
        return offline(place)
    if "is a gated dataset on the Hub" in said:
        return _gated(place)
    if "doesn't exist on the Hub or cannot be accessed" in said:
        return _unknown(place)
    if re.search(r"Revision '.*' doesn't exist for dataset", said):
        return _no_revision(place)
    if "peer closed connection" in said or "IncompleteRead" in said:
        return f"{place}: the connection was closed during a download; run the same command again"
    if re.search(r"Couldn't reach '.*' on the Hub", said):
        return f"{place} is not in the hub's cache, and {_endpoint()} cannot be reached; connect, or use local files"
    if found := XET.search(said):
        return (
            f"{place}: the hub's Xet storage ({printable(found[1])}) cannot be reached; allow that host, or export "
            "HF_HUB_DISABLE_XET=1 to download through the hub"
        )
    if found := NO_CONFIG.search(said):
        return f"{place}: {printable(' '.join(found[0].split()))}"
    return None


def _no_revision(place: Place) -> str:
    return f"{place}: the hub has no such revision; correct it (revisions: {place.page}/commits/main)"


def _file(response: Any) -> str:
    path = str(response.url).split("?")[0]
    found = re.search(r"/(?:resolve|resolve-cache/\w+/[^/]+/[^/]+)/[^/]+/(.+)$", path)
    return printable(found[1]) if found else "of that name"


def _seconds(headers: Any) -> str:
    found = re.search(r";\s*t\s*=\s*(\d{1,9})", headers.get("RateLimit", "")) or re.fullmatch(
        r"\s*(\d{1,9})\s*", headers.get("Retry-After", "")
    )
    return f"in {found[1]} s" if found and int(found[1]) else "later"


def _endpoint() -> str:
    from huggingface_hub import constants

    return re.sub(r"//[^/@]*@", "//", constants.ENDPOINT)
