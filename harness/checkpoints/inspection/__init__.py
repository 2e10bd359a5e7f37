"""Inspection: what is in a checkpoint's files, against what its configuration and its variant claim.

    files.py, remote.py   the safetensors container: a directory, or the hub by range requests
    layouts.py            which tensors make a layer, and how its values lie
    granularity.py        scale shape -> tensor, channel, group, block
    values.py             zeros, 2:4 groups, NaN: from raw bytes
    methods.py            quantization_config -> claims.py: what each layer should be, by the rules of matching.py
    check.py, variant.py  the contradictions; unlisted.py: what the files cannot decide
    text.py               all of it for a reader

No torch, and of large files only headers, scales and samples.
"""

from functools import lru_cache
from pathlib import Path

from harness.checkpoints.inspection.files import Folder
from harness.checkpoints.inspection.inspection import Inspection, inspect_files

__all__ = ["Inspection", "inspect_checkpoint"]


def inspect_checkpoint(location: str, revision: str | None = None, exact: bool | None = None) -> Inspection:
    """A directory (or a file in it) or a hub id; a checkpoint of the hub's local cache is read there.

    Raises HarnessError for what is no checkpoint, or not within reach.
    """
    path = Path(location).expanduser()
    if path.is_dir() or path.is_file() or location.startswith(("/", "./", "../", "~")):
        return _folder(path if path.is_dir() or not path.is_file() else path.parent, exact)
    if (cached := _cached(location, revision)) is not None:
        found = _folder(cached, exact)
        if not found.errors:
            return found  # an incomplete download is read from the hub instead
    from harness.checkpoints.inspection.remote import HubFiles

    return inspect_files(HubFiles(location, revision), exact)


def _folder(path: Path, exact: bool | None) -> Inspection:
    try:
        state = tuple(sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in path.glob("*.*")))
    except OSError:
        state = ()
    return _folder_once(path.resolve(), exact, state)


@lru_cache(maxsize=64)
def _folder_once(path: Path, exact: bool | None, _state: tuple) -> Inspection:
    """Preflight and the run look at the same files; once is enough while they do not change."""
    folder = Folder(path)
    try:
        return inspect_files(folder, exact)
    finally:
        folder.close()


def _cached(repository: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision)
    except Exception:  # no hub id at all: the hub's own answer will say so
        return None
    return Path(found).parent if isinstance(found, str) else None
