"""The digests of files: remembered while a file stays, never believed when anything is odd."""

import json
import os
import subprocess
import sys

import pytest
from blake3 import blake3

from harness.checkpoints import file_digests
from harness.checkpoints.file_digests import Digests
from harness.errors import ConfigError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def remember_all(monkeypatch):
    """Small files that were just written, too."""
    monkeypatch.setattr(file_digests, "LARGE_BYTES", 0)
    monkeypatch.setattr(file_digests, "SETTLED_S", -1.0)


@pytest.fixture
def read(monkeypatch):
    """Paths in the order in which their bytes were read."""
    seen, hash_file = [], file_digests._Work._hash
    monkeypatch.setattr(file_digests._Work, "_hash", lambda work, path: (seen.append(path), hash_file(work, path))[1])
    return seen


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"one" * 1000)
    return path


def digest(path, cache):
    return Digests(cache).of([path])[path]


def test_a_file_is_read_once_for_all_runs(tmp_path, file, read):
    assert digest(file, tmp_path / "cache") == blake3(b"one" * 1000).hexdigest()
    assert digest(file, tmp_path / "cache") == blake3(b"one" * 1000).hexdigest()
    assert read == [file]


def replaced(file):
    """Another file of the same size and time under the same name, as rsync -t makes."""
    times, other = file.stat(), file.with_name("other")
    other.write_bytes(b"two" * 1000)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(other, file)


def rewritten(file):
    """In place, with its time set back."""
    times = file.stat()
    file.write_bytes(b"two" * 1000)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("change", [replaced, rewritten])
def test_same_size_and_time_is_not_the_same_file(tmp_path, file, change):
    digest(file, tmp_path / "cache")
    change(file)
    assert digest(file, tmp_path / "cache") == blake3(b"two" * 1000).hexdigest()


def test_one_object_notices_a_change_too(tmp_path, file):
    digests = Digests(tmp_path / "cache")
    digests.of([file])
    rewritten(file)
    assert digests.of([file])[file] == blake3(b"two" * 1000).hexdigest()


def test_a_file_that_was_just_written_is_read_again(tmp_path, file, read, monkeypatch):
    """Its next write may leave the same times: the clock of a file system is coarse."""
    monkeypatch.setattr(file_digests, "SETTLED_S", 3600.0)
    digest(file, tmp_path / "cache")
    digest(file, tmp_path / "cache")
    assert read == [file, file] and not (tmp_path / "cache").exists()


def test_no_damage_to_an_entry_changes_a_digest(tmp_path, file):
    truth = digest(file, tmp_path / "cache")
    [entry] = (tmp_path / "cache").iterdir()
    whole = entry.read_bytes()
    damages = [whole[:n] for n in range(0, len(whole), 7)] + [
        b"",
        b"\0" * len(whole),
        b"[" * 100_000,
        b"\xff\xfe",
        b"[]",
    ]
    damages += [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(len(whole))]
    other = json.loads(whole) | {"digest": "0" * 64}
    for damaged in [*damages, json.dumps(other).encode(), json.dumps(other | {"digest": None}).encode()]:
        entry.write_bytes(damaged)
        assert digest(file, tmp_path / "cache") == truth, damaged


def test_an_entry_of_another_file_is_not_taken(tmp_path, file, read):
    digest(file, tmp_path / "cache")
    [entry] = (tmp_path / "cache").iterdir()
    other = tmp_path / "other"
    other.write_bytes(b"two" * 1000)
    digest(other, tmp_path / "cache")
    [second] = {*(tmp_path / "cache").iterdir()} - {entry}
    second.write_bytes(entry.read_bytes())
    assert digest(other, tmp_path / "cache") == blake3(b"two" * 1000).hexdigest()


def test_the_cache_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(file_digests, "ENTRIES", 8)
    monkeypatch.setattr(file_digests, "KEPT", 4)
    for number in range(30):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(b"x")
        digest(path, tmp_path / "cache")
    assert 4 <= len(list((tmp_path / "cache").iterdir())) <= 8


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, file):
    (tmp_path / "cache").write_text("a file in the folder's place")
    assert digest(file, tmp_path / "cache") == blake3(b"one" * 1000).hexdigest()


def test_several_processes_share_a_cache(tmp_path):
    code = """
import sys
from pathlib import Path
from harness.checkpoints import file_digests
file_digests.LARGE_BYTES, file_digests.SETTLED_S, file_digests.ENTRIES, file_digests.KEPT = 0, -1.0, 12, 6
for _ in range(20):
    found = file_digests.Digests(Path(sys.argv[1])).of(sorted(Path(sys.argv[2]).iterdir()))
print(sorted(found.values()))
"""
    files = tmp_path / "files"
    files.mkdir()
    for number in range(16):
        (files / str(number)).write_bytes(bytes([number]) * 100)
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), str(files)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate()[0] for process in running}
    truth = sorted(blake3(bytes([number]) * 100).hexdigest() for number in range(16))
    assert said == {f"{truth}\n"} and not list((tmp_path / "cache").glob(".*"))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, file, monkeypatch):
    fstat = os.fstat

    def appended(descriptor):
        found = fstat(descriptor)
        with file.open("ab") as other:
            other.write(b"more")
        return found

    monkeypatch.setattr(os, "fstat", appended)
    with pytest.raises(ConfigError, match="changed while it was read"):
        digest(file, tmp_path / "cache")


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"lost\.safetensors cannot be read \(No such file"):
        digest(tmp_path / "lost.safetensors", tmp_path / "cache")


def test_long_hashing_says_so(tmp_path, file, monkeypatch):
    monkeypatch.setattr(file_digests, "SAY_AFTER_S", 0.0)
    said = []

    def slow(work, path):
        while not said:  # until the caller has spoken
            work.stopped.wait(0.01)
        return hash_file(work, path)

    hash_file = file_digests._Work._hash
    monkeypatch.setattr(file_digests._Work, "_hash", slow)
    Digests(tmp_path / "cache", said.append).of([file])
    assert said == [f"hashing {file}, once: 0.0 of 0.0 GB"]


def test_an_interrupt_stops_the_threads(tmp_path, file, monkeypatch):
    monkeypatch.setattr(file_digests, "SAY_AFTER_S", 0.0)
    monkeypatch.setattr(file_digests._Work, "_hash", lambda work, path: work.stopped.wait(60) and None)

    def interrupt(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Digests(tmp_path / "cache", interrupt).of([file])
