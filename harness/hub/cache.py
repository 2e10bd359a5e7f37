"""Are the cached files what their names say? The hub names a file by its git id or its sha256, and no client checks it.

Read for datasets and tokenizers, which are small; of weights see harness/checkpoints/downloaded.py.
"""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from harness.errors import CellError
from harness.hub.failures import Place, printable

BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def check(place: Place, files: Iterable[Path] | None = None, built: Iterable[Path] = ()) -> None:
    """Raise CellError for a file (of a dataset's whole cache unless named) whose content is not its name's.

    It is removed from the cache first, with what `datasets` built of it, so that the next run downloads it again.
    """
    for path in _snapshot_files(place) if files is None else files:
        blob = path.resolve()
        if not BLOB.fullmatch(blob.name) or _named(blob, blob.stat().st_mtime_ns) == blob.name:
            continue
        for folder in built:
            shutil.rmtree(folder, ignore_errors=True)
        raise CellError(discard(place, path))


def discard(place: Place, path: Path) -> str:
    """Remove a file whose content is not its name's, and return what to say of it."""
    for damaged in (path.resolve(), path):
        with contextlib.suppress(OSError):
            damaged.unlink()
    return (
        f"{place}: {printable(path.name)} in the hub's cache does not match the hub's etag of it, and was removed; "
        "run the same command again"
    )


def _snapshot_files(place: Place) -> list[Path]:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=place.name, repo_type=place.kind) / "snapshots"
    return sorted(path for path in folder.rglob("*") if path.is_file())


@lru_cache(maxsize=4096)
def _named(blob: Path, _modified_ns: int) -> str:
    """Return the name that the hub gives to this content: of the kind, git id or sha256, that the blob's name has."""
    digest = hashlib.sha256() if len(blob.name) == 64 else hashlib.sha1(b"blob %d\0" % blob.stat().st_size)
    with blob.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
