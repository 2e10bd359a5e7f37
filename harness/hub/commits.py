"""Which commit of a Hugging Face hub repository an id means: asked once a process, so that plan and run agree.

A branch moves; a commit does not. The plan resolves each (id, revision) to its commit, the commit goes into the
fingerprint and the record, and the engine, the tokenizer and the data loading are given it as their revision.
"""

import contextlib
import hashlib
import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.errors import HarnessError
from harness.hub import access
from harness.hub.failures import Place
from harness.machine.disk import write_atomically

MODEL, DATASET = "model", "dataset"
COMMIT = re.compile(r"[0-9a-f]{40}")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolved:
    """`commit` None: `problem` says why, and what to do. A commit that was named is known whatever the problem is."""

    commit: str | None
    problem: str | None = None


def commit_of(kind: str, repository: str, revision: str | None = None) -> str | None:
    return resolve(kind, repository, revision).commit


@lru_cache(maxsize=1024)
def resolve(kind: str, repository: str, revision: str | None = None) -> Resolved:
    """Ask the hub; where it does not answer, the local hub cache. `kind`: MODEL or DATASET. Raises nothing."""
    if not _is_repository(repository):
        return Resolved(None, f"{kind} {repository!r} is neither here nor a hub id (org/name); correct it")
    pinned = revision if revision and COMMIT.fullmatch(revision) else None
    if pinned and _snapshot(kind, repository, pinned).is_dir():
        return Resolved(pinned)
    try:
        found = _asked(kind, repository, revision)
    except HarnessError as error:
        reason = str(error)
    else:
        _remember(kind, repository, revision, found)
        return Resolved(found)
    if pinned:
        return Resolved(pinned, reason)
    if local := cached_commit(kind, repository, revision):
        log.info("%s; taking commit %s of the local hub cache", reason, local)
        return Resolved(local)
    return Resolved(None, reason)


def cached_commit(kind: str, repository: str, revision: str | None = None) -> str | None:
    """Return the commit of a branch or tag in the hub's cache, that of a dataset's built data, or the last resolved.

    What is downloaded by commit leaves no branch in the hub's cache: the last resolved commit is remembered beside it.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
    try:
        found = (folder / "refs" / (revision or "main")).read_text().strip()
    except (OSError, ValueError):
        found = ""
    if COMMIT.fullmatch(found):
        return found
    built = _built_commit(repository) if kind == DATASET and revision is None else None
    return built or _remembered(kind, repository, revision)


def _remember(kind: str, repository: str, revision: str | None, commit: str) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written
        write_atomically(_memory(kind, repository, revision), commit)


def _remembered(kind: str, repository: str, revision: str | None) -> str | None:
    try:
        found = _memory(kind, repository, revision).read_text().strip()
    except (OSError, ValueError):
        return None
    return found if COMMIT.fullmatch(found) else None


def _memory(kind: str, repository: str, revision: str | None) -> Path:
    """Return the file of the commit that a revision was last resolved to, among the hub's own assets."""
    from huggingface_hub import cached_assets_path, constants

    assets = constants.HF_ASSETS_CACHE
    name = hashlib.sha256(f"{kind} {revision or 'main'}".encode()).hexdigest()[:16]
    return cached_assets_path("harness", repository, subfolder="commits", assets_dir=assets) / name


def _is_repository(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _asked(kind: str, repository: str, revision: str | None) -> str:
    """Raise HarnessError with the reason in words, and what to do."""
    found = access.commit(Place(repository, kind, revision))
    if not COMMIT.fullmatch(found):
        raise HarnessError(f"{Place(repository, kind, revision)}: the hub names no commit of it; correct HF_ENDPOINT")
    return found


def _snapshot(kind: str, repository: str, commit: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind) / "snapshots" / commit


def _built_commit(repository: str) -> str | None:
    """Return the commit that `datasets` takes offline: that of the data it has built last (load.py, cache.py)."""
    built = built_folders(repository)
    return max(built, key=lambda path: path.stat().st_mtime_ns).name if built else None


def built_folders(repository: str) -> list[Path]:
    """Return where `datasets` keeps what it has built of a repository, a folder a configuration and commit."""
    cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "datasets"
    root = Path(os.environ.get("HF_DATASETS_CACHE", cache)).expanduser()
    organization, _, name = repository.rpartition("/")
    snake = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)).lower()
    folders = root.glob(f"{organization + '___' if organization else ''}{snake}/*/*/*")
    return [path for path in folders if path.is_dir() and COMMIT.fullmatch(path.name)]
