import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from harness.errors import ConfigError, DiskFull
from harness.machine import scratch

pytestmark = pytest.mark.slow


@pytest.fixture
def tmpdir_(tmp_path, monkeypatch):
    folder = tmp_path / "temporary files"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_made_in_tmpdir_for_its_owner_alone_and_removed(tmpdir_):
    before = os.umask(0o000)
    try:
        with scratch.scratch("load") as folder:
            assert folder.parent == tmpdir_ and folder.name.startswith("harness-load-")
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "requests").write_text("x")
    finally:
        os.umask(before)
    assert list(tmpdir_.iterdir()) == []


def test_works_under_a_umask_that_denies_its_owner(tmpdir_):
    before = os.umask(0o777)
    try:
        with scratch.scratch("load") as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_libraries_use_the_same_folder(tmpdir_):
    scratch.use_everywhere()
    assert tempfile.gettempdir() == str(tmpdir_)


def test_a_folder_that_is_named_and_not_there_is_an_error_and_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    (problem,) = scratch.problems()
    assert str(tmp_path / "absent") in problem and "create it" in problem
    with pytest.raises(ConfigError, match=r"absent: No such file or directory; set TMPDIR"), scratch.scratch("x"):
        pass


def test_a_full_folder_is_named(tmpdir_, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch.tempfile, "mkdtemp", full)
    with pytest.raises(DiskFull, match=f"no space left for {tmpdir_} .*free some"), scratch.scratch("x"):
        pass


def test_little_room_is_a_problem_before_anything_starts(tmpdir_, monkeypatch):
    assert scratch.problems() == []
    monkeypatch.setattr(scratch, "LEAST_BYTES", 1 << 62)
    (problem,) = scratch.problems()
    assert f"TMPDIR {tmpdir_}" in problem and "set TMPDIR to another folder" in problem


HOLDER = """
import sys, time
from harness.machine.scratch import scratch
with scratch("load") as folder:
    (folder / "requests").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def holder() -> tuple[subprocess.Popen, Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmpdir_):
    killed, abandoned = holder()
    living, used = holder()
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    others = [tmpdir_ / "harness-of-somebody", tmpdir_ / "harness-new-just_now", tmpdir_ / "else"]
    for other in others:
        other.mkdir()
    (tmpdir_ / "harness-load-link").symlink_to(used)
    (tmpdir_ / "harness-file").write_text("x")
    assert abandoned.is_dir()
    scratch.remove_abandoned()
    assert not abandoned.exists()
    assert (used / "requests").is_file() and all(other.is_dir() for other in others)
    assert (tmpdir_ / "harness-load-link").is_symlink() and (tmpdir_ / "harness-file").is_file()
    living.communicate("")
    assert not used.exists()


def test_an_interrupt_between_making_and_using_leaves_nothing(tmpdir_):
    program = textwrap.dedent("""
        import os, signal
        from harness.machine import interrupts, scratch
        interrupts.install()
        make = scratch._make
        def interrupted(kind):
            made = make(kind)
            os.kill(os.getpid(), signal.SIGINT)
            return made
        scratch._make = interrupted
        try:
            with scratch.scratch("x"):
                print("not reached")
        except KeyboardInterrupt:
            pass
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "" and list(tmpdir_.iterdir()) == []
