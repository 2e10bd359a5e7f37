"""Which commit of a Hugging Face hub repository an id means: asked once a process, so that plan and run agree.

A branch moves; a commit does not. The plan resolves each (id, revision) to its commit, the commit goes into the
fingerprint and the record, and the engine, the tokenizer and the data loading are given it as their revision.
"""

import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.errors import HarnessError

MODEL, DATASET = "model", "dataset"
TIMEOUT_S = 5.0
COMMIT = re.compile(r"[0-9a-f]{40}")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolved:
    """`commit` None: `problem` says why; whoever shows it adds what to do."""

    commit: str | None
    problem: str | None = None


def commit_of(kind: str, repository: str, revision: str | None = None) -> str | None:
    return resolve(kind, repository, revision).commit


@lru_cache(maxsize=1024)
def resolve(kind: str, repository: str, revision: str | None = None) -> Resolved:
    """Ask the hub; where it does not answer, the local hub cache. `kind`: MODEL or DATASET. Raises nothing."""
    if revision and COMMIT.fullmatch(revision):
        return Resolved(revision)
    if not _is_repository(repository):
        return Resolved(None, f"{kind} {repository!r} is neither here nor a hub id (org/name)")
    try:
        return Resolved(_asked(kind, repository, revision))
    except HarnessError as error:
        reason = str(error)
    if local := cached_commit(kind, repository, revision):
        log.info("%s %s: %s; taking commit %s of the local hub cache", kind, repository, reason, local)
        return Resolved(local)
    named = f"{repository}@{revision}" if revision else repository
    return Resolved(None, f"{kind} {named} is not in the local hub cache and {reason}")


def cached_commit(kind: str, repository: str, revision: str | None = None) -> str | None:
    """Return the commit of a branch or tag in the local hub cache; for a dataset also that of the built data."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
    try:
        found = (folder / "refs" / (revision or "main")).read_text().strip()
    except (OSError, ValueError):
        found = ""
    if COMMIT.fullmatch(found):
        return found
    return _built_commit(repository) if kind == DATASET and revision is None else None


def _is_repository(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _asked(kind: str, repository: str, revision: str | None) -> str:
    """Raise HarnessError with the reason in words."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    from harness.checkpoints.hub import offline_reason

    if reason := offline_reason():
        raise HarnessError(reason)
    ask = HfApi().model_info if kind == MODEL else HfApi().dataset_info
    try:
        found = ask(repository, revision=revision, timeout=TIMEOUT_S).sha
    except GatedRepoError:
        raise HarnessError("it is gated: accept its terms on the hub and set HF_TOKEN") from None
    except RevisionNotFoundError:
        raise HarnessError(f"the hub has no revision {revision or 'main'} of it") from None
    except RepositoryNotFoundError:
        raise HarnessError("the hub has no such repository, or HF_TOKEN may not read it") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise HarnessError(f"the hub answers {status}") from None
    except Exception as error:  # of its transports
        raise HarnessError(f"the hub did not answer ({type(error).__name__}: {error})") from None
    if not found or not COMMIT.fullmatch(found):
        raise HarnessError("the hub names no commit of it")
    return found


def _built_commit(repository: str) -> str | None:
    """Return the commit that `datasets` takes offline: that of the data it has built last (load.py, cache.py)."""
    cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "datasets"
    root = Path(os.environ.get("HF_DATASETS_CACHE", cache)).expanduser()
    organization, _, name = repository.rpartition("/")
    snake = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)).lower()
    folders = root.glob(f"{organization + '___' if organization else ''}{snake}/*/*/*")
    built = [path for path in folders if path.is_dir() and COMMIT.fullmatch(path.name)]
    return max(built, key=lambda path: path.stat().st_mtime_ns).name if built else None
