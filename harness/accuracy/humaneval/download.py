"""HumanEval+ as evalplus releases it on GitHub: downloaded once, into evalplus's own cache.

evalplus's downloader has no timeout and keeps what it got of an interrupted download. GITHUB_ENDPOINT names a mirror of
github.com, as HF_ENDPOINT names one of the hub.
"""

import gzip
import http.client
import os
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from harness.accuracy.datasets import reachable
from harness.errors import CellError
from harness.machine.disk import write_atomically

VERSION = "v0.1.10"  # what evalplus 0.3.1 downloads
RELEASE = f"HumanEvalPlus {VERSION}"
RELEASES = "https://github.com/evalplus/humanevalplus_release/releases"
TIMEOUT_S = 30.0
TRIES = 3
MOST_BYTES = 256 << 20  # of the file, unpacked: the release has 8 MB
BUSY = (408, 429, 500, 502, 503, 504)


def cached() -> Path:
    """Return where evalplus keeps its download, without importing it (evalplus/data/utils.py)."""
    from appdirs import user_cache_dir

    if override := os.environ.get("HUMANEVAL_OVERRIDE_PATH"):  # evalplus's own variable
        return Path(override).expanduser()
    return Path(user_cache_dir("evalplus")) / f"HumanEvalPlus-{VERSION}.jsonl"


def endpoint() -> str:
    return os.environ.get("GITHUB_ENDPOINT", "https://github.com").rstrip("/")


def unreachable() -> str | None:
    """Return why the release cannot be downloaded; None where the server takes connections."""
    parts = urlsplit(endpoint())
    if parts.hostname and reachable(parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)):
        return None
    return (
        f"{RELEASE} is not in {cached().parent} and {parts.hostname or endpoint()} cannot be reached; set data.root "
        f"to a mirror or to pocket, or put the file there from {RELEASES}"
    )


def download(path: Path) -> None:
    """Write the unpacked release to `path`, whole or not at all. Raises CellError."""
    url = f"{endpoint()}/evalplus/humanevalplus_release/releases/download/{VERSION}/HumanEvalPlus.jsonl.gz"
    data = _unpacked(_fetched(url))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)


def _fetched(url: str) -> bytes:
    said = ""
    for attempt in range(TRIES):
        time.sleep(attempt)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                data = answer.read(MOST_BYTES)
                if not answer.length:  # what is left of its Content-Length
                    return data
            said = f"closed the connection after {len(data)} of {len(data) + answer.length} bytes"
        except urllib.error.HTTPError as error:
            said = f"answers {error.code}"
            if error.code not in BUSY:
                break
        except (OSError, http.client.HTTPException) as error:
            said = f"did not answer ({getattr(error, 'reason', error)})"
    raise _failed(f"{urlsplit(url).hostname} {said}")


def _unpacked(data: bytes) -> bytes:
    try:
        unpacked = zlib.decompressobj(wbits=31)
        found = unpacked.decompress(data, MOST_BYTES)
        if not unpacked.eof:
            raise EOFError("the file is cut")
        return found
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _failed(f"the file is not gzip data, or is cut ({error})") from None


def _failed(said: str) -> CellError:
    return CellError(f"{RELEASE} cannot be downloaded: {said}; try again, or set data.root to a mirror or to pocket")
