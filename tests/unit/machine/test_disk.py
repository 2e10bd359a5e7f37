import errno
import os
import sqlite3

import pytest

from harness.errors import DiskFull, HarnessError
from harness.machine import disk


def chained() -> Exception:
    """As a library that wraps what it was told."""
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/cache/file.arrow")
        except OSError as error:
            raise RuntimeError("an error occurred while generating the dataset") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_of_being_full_is_one_line_with_the_folder(tmp_path, code):
    with pytest.raises(DiskFull) as raised, disk.naming(tmp_path):
        raise OSError(code, os.strerror(code))
    assert str(tmp_path) in str(raised.value) and os.strerror(code) in str(raised.value)
    assert "free some space" in str(raised.value) and "\n" not in str(raised.value)


def test_other_errors_pass(tmp_path):
    with pytest.raises(PermissionError), disk.naming(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert disk.explain(ValueError("no"), tmp_path) is None


def test_the_file_of_the_first_error_names_the_folder(tmp_path):
    assert "/data/cache " in str(disk.explain(chained(), tmp_path))


@pytest.mark.parametrize(
    "error", [sqlite3.OperationalError("database or disk is full"), RuntimeError("[Errno 28] No space left on device")]
)
def test_an_error_that_only_says_so_names_the_fullest_folder(tmp_path, monkeypatch, error):
    monkeypatch.setattr(disk, "free_bytes", {tmp_path / "a": 5, tmp_path / "b": 4}.__getitem__)
    assert str(tmp_path / "b") in str(disk.explain(error, tmp_path / "a", tmp_path / "b"))


def test_what_a_command_did_not_expect_names_a_folder_of_its_own(tmp_path):
    with pytest.raises(DiskFull, match="/data/cache"), disk.among(tmp_path):
        raise chained()
    with pytest.raises(ZeroDivisionError), disk.among(tmp_path):
        raise ZeroDivisionError
    said = HarnessError("the server said: No space left on device")
    with pytest.raises(HarnessError) as raised, disk.among(tmp_path):
        raise said
    assert raised.value is said, "it has its own explanation"


def test_check_names_the_one_that_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 0 if folder == tmp_path / "b" else 1 << 30)
    disk.check(tmp_path / "a")
    with pytest.raises(DiskFull, match=str(tmp_path / "b")):
        disk.check(tmp_path / "a", tmp_path / "b")
