"""Is a checkpoint on the Hugging Face hub within reach? Asked once a process: an offline machine says so quickly."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.checkpoints.identity import WEIGHTS
from harness.errors import HarnessError
from harness.hub_commits import DATASET, resolve

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


def config(repository: str, revision: str | None = None) -> dict[str, Any] | None:
    """config.json, from the local cache or the hub itself; None where neither has it: `missing` says why."""
    if not cached(repository, revision) and offline_reason():
        return None
    try:
        return _config(repository, revision)
    except (HarnessError, OSError, ValueError):
        return None  # not kept: the hub may answer the next time


@lru_cache(maxsize=256)
def _config(repository: str, revision: str | None) -> dict[str, Any]:
    return json.loads(fetch_config(repository, revision).read_text())


@lru_cache(maxsize=1)
def offline_reason() -> str | None:
    """None when the hub answers."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return None  # it answered
    except OSError as error:
        return f"{constants.ENDPOINT} cannot be reached ({getattr(error, 'reason', error)})"
    return None


def missing_dataset(name: str, revision: str | None = None) -> str | None:
    """Say why a dataset cannot be had; None for one whose commit is known, and for a local directory."""
    return None if Path(name).is_dir() else resolve(DATASET, name, revision).problem


@lru_cache(maxsize=256)
def missing(repository: str, revision: str | None = None) -> list[str]:
    if cached(repository, revision):
        return []
    if reason := offline_reason():
        return [
            f"checkpoint {repository} is not in the local hub cache and {reason}; "
            "connect, or download it elsewhere and name its directory"
        ]
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    try:
        HfApi().model_info(repository, revision=revision, timeout=TIMEOUT_S)
    except GatedRepoError:
        return [f"checkpoint {repository} is gated; accept its terms on the hub and set HF_TOKEN"]
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        return [
            f"checkpoint {repository}@{revision or 'main'}: the hub answers {status}; correct the id or set HF_TOKEN"
        ]
    except OSError as error:
        return [f"checkpoint {repository}: the hub did not answer ({error}); try again"]
    return []


def fetch_config(repository: str, revision: str | None = None) -> Path:
    """config.json of a model on the hub, or of its local cache. Raises HarnessError."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, "config.json", revision=revision, etag_timeout=TIMEOUT_S))
    except (OSError, ValueError) as error:  # its own errors are among these
        raise HarnessError(f"checkpoint {repository}: no config.json ({_first_line(error)})") from None


def tokenizer_folder(repository: str, revision: str | None) -> Path:
    """Return the local snapshot with the tokenizer's files, downloaded where they lack. Raises HarnessError."""
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(repository, revision=revision, ignore_patterns=NO_TOKENIZER, etag_timeout=TIMEOUT_S)
    except (OSError, ValueError) as error:  # its own errors are among these
        raise HarnessError(
            f"checkpoint {repository}: its tokenizer cannot be downloaded ({_first_line(error)}); check the connection "
            "and HF_TOKEN, or name a local directory"
        ) from None
    return Path(found)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
