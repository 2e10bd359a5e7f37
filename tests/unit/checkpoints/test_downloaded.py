"""Weights in the hub's cache are what the hub has: huggingface_hub names them by their sha256 and compares sizes."""

import hashlib
import os
from types import SimpleNamespace

import pytest

from harness.checkpoints.downloaded import confirm_weights
from harness.checkpoints.file_digests import Digests
from harness.checkpoints.prepare import Workshop
from harness.engines.environment import EnvironmentConfig
from harness.errors import HarnessError
from harness.sweeps.measuring.served_session import ServedSession

COMMIT = "1" * 40
WEIGHTS = b"weights of a model" * 100


@pytest.fixture
def downloaded(small_hub, hub_cache):
    """A snapshot as huggingface_hub makes it: each file is a link to a blob named by its etag."""
    small_hub.add("models", "org/model", COMMIT)
    repository = hub_cache / "models--org--model"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    files = {"config.json": (b"{}", "a" * 40)}
    files["model.safetensors"] = (WEIGHTS, hashlib.sha256(WEIGHTS).hexdigest())
    for name, (content, etag) in files.items():
        (blobs / etag).write_bytes(content)
        os.symlink(blobs / etag, snapshot / name)
    return snapshot


def sha256() -> Digests:
    return Digests(hasher=hashlib.sha256)


def test_weights_as_the_hub_has_them_are_taken(downloaded):
    confirm_weights("org/model", COMMIT, sha256())
    assert (downloaded / "model.safetensors").is_file()
    confirm_weights("org/other", COMMIT, sha256())  # nothing of it is here


def test_one_other_byte_is_named_and_removed(downloaded):
    blob = (downloaded / "model.safetensors").resolve()
    blob.write_bytes(WEIGHTS[:-1] + b"X")
    with pytest.raises(HarnessError, match=r"org/model.*model\.safetensors .*does not match the hub's etag"):
        confirm_weights("org/model", COMMIT, sha256())
    assert not blob.exists() and not (downloaded / "model.safetensors").is_symlink()
    confirm_weights("org/model", COMMIT, sha256())  # it is downloaded again when the engine starts


def test_a_file_whose_hash_the_hub_does_not_say_is_not_compared(downloaded):
    (downloaded / "copy.safetensors").write_bytes(b"no link: a cache on a disk without them")
    confirm_weights("org/model", COMMIT, sha256())


def test_a_session_compares_them_before_and_after_its_engine_starts(downloaded, tmp_path):
    workshop = Workshop(EnvironmentConfig("none"), tmp_path, tmp_path / "log", lambda line: None)
    session = SimpleNamespace(checkpoint=f"org/model@{COMMIT}", recipe=None)
    session.weights = workshop.identity(session.checkpoint, None)
    run = SimpleNamespace(prepared=SimpleNamespace(workshop=workshop), log_of=lambda session: tmp_path)
    served = ServedSession(run, session)
    served.confirm_content()
    (downloaded / "model.safetensors").resolve().write_bytes(b"X" + WEIGHTS[1:])
    with pytest.raises(HarnessError, match=r"model\.safetensors"):
        served.confirm_content()
