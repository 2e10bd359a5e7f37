"""Checkpoints on the Hugging Face hub and in its local cache."""

from functools import lru_cache
from pathlib import Path

from harness.checkpoints.identity import WEIGHTS, tokenizer_only
from harness.checkpoints.model_config import ModelConfig, read_file
from harness.errors import HarnessError
from harness.hub import access, cache
from harness.hub.commits import DATASET, MODEL, resolve
from harness.hub.failures import Place
from harness.hub.waiting import bound

TIMEOUT_S = 5.0
NO_TOKENIZER = [*(f"*{suffix}" for suffix in WEIGHTS), "*.h5", "*.msgpack", "*.onnx", "original/*", "onnx/*"]


def cached(repository: str, revision: str | None = None) -> bool:
    return snapshot(repository, revision) is not None


def snapshot(repository: str, revision: str | None = None) -> Path | None:
    """The folder of the local cache that holds config.json, and what else was downloaded."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision)
    except HFValidationError:  # no hub id at all
        return None
    return Path(found).parent if isinstance(found, str) else None


def config(repository: str, revision: str | None = None) -> ModelConfig | None:
    """config.json, from the local cache or the hub itself; None where neither has it: `missing` says why."""
    if not cached(repository, revision) and offline_reason():
        return None
    try:
        return _config(repository, revision)
    except (HarnessError, OSError, ValueError):
        return None  # not kept: the hub may answer the next time


@lru_cache(maxsize=256)
def _config(repository: str, revision: str | None) -> ModelConfig:
    return read_file(fetch_config(repository, revision))


offline_reason = access.unreachable


def missing_dataset(name: str, revision: str | None = None) -> str | None:
    """Say why a dataset cannot be had; None for one whose commit is known, and for a local directory."""
    return None if Path(name).is_dir() else resolve(DATASET, name, revision).problem


def missing(repository: str, revision: str | None = None) -> list[str]:
    """Return why a checkpoint cannot be had; also where its commit is known and config.json cannot be fetched."""
    found = resolve(MODEL, repository, revision)
    reason = found.problem
    if reason is None and offline_reason() and not cached(repository, found.commit):
        reason = access.problem(Place(repository, MODEL, revision))
    return [reason] if reason else []


def fetch_config(repository: str, revision: str | None = None) -> Path:
    """config.json of a model on the hub, or of its local cache. Raises HarnessError."""
    from huggingface_hub import hf_hub_download

    bound()
    try:
        return Path(hf_hub_download(repository, "config.json", revision=revision, etag_timeout=TIMEOUT_S))
    except (OSError, ValueError) as error:  # its own errors are among these
        raise HarnessError(access.why(error, Place(repository, MODEL, revision))) from None


def tokenizer_folder(repository: str, revision: str | None) -> Path:
    """Return the local snapshot with the tokenizer's files, downloaded where they lack, and compared with their etags.

    Raises HarnessError.
    """
    from huggingface_hub import snapshot_download

    bound()
    try:
        found = snapshot_download(repository, revision=revision, ignore_patterns=NO_TOKENIZER, etag_timeout=TIMEOUT_S)
    except (OSError, ValueError) as error:  # its own errors are among these
        raise HarnessError(access.why(error, Place(repository, MODEL, revision))) from None
    files = [path for path in sorted(Path(found).rglob("*")) if path.is_file() and tokenizer_only(path.name)]
    cache.check(Place(repository, MODEL, revision), files)
    return Path(found)
