"""A sweep that is killed, interrupted or left by its terminal."""

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.integration.flow import CELLS, command, records, run


def test_kill_9_loses_nothing_that_was_measured(scripted, tiny_model, tmp_path):
    process = subprocess.Popen(command(tmp_path, tiny_model, scripted.port), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(records(tmp_path)) < 4:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = records(tmp_path)
    assert 4 <= len(before) < CELLS
    again = run(tmp_path, tiny_model, scripted.port)
    assert again.returncode == 0, again.stderr
    after = records(tmp_path)
    assert len(after) == CELLS
    assert {key: after[key] for key in before} == before, "nothing measured was run twice"
    assert not list((tmp_path / "results/flow").glob(".cell-*"))


def stored(tmp_path: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(records(tmp_path)) < count:
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGINT], 130),
        ([signal.SIGINT] * 3, 130),
        ([signal.SIGTERM], 130),
        ([signal.SIGHUP, signal.SIGINT], 129),
    ],
    ids=["Ctrl-C", "Ctrl-C three times", "SIGTERM", "SIGHUP"],
)
def test_an_interrupted_run_has_its_exit_code_and_cleans_up(scripted, tiny_model, tmp_path, monkeypatch, numbers, code):
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    process = subprocess.Popen(command(tmp_path, tiny_model, scripted.port), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    stored(tmp_path, 2)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.01)  # two signals that are sent at once arrive in any order
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("ignored", "code"), [(False, 129), (True, 0)], ids=["plain", "nohup"])
def test_a_terminal_that_closes(scripted, tiny_model, tmp_path, monkeypatch, ignored, code):
    """The kernel sends SIGHUP, and what is written from then on gives EIO."""

    def on_the_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    terminal, inside = pty.openpty()
    process = subprocess.Popen(command(tmp_path, tiny_model, scripted.port, "scenario=[rag_256_8]"),
                               stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
                               preexec_fn=on_the_terminal)  # fmt: skip
    os.close(inside)
    stored(tmp_path, 1)
    os.close(terminal)
    assert process.wait(120) == code
    assert list(temporary.iterdir()) == []


def test_a_run_in_the_background_of_a_script_goes_on_when_ctrl_c_ends_the_script(scripted, tiny_model, tmp_path):
    def in_the_background() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = subprocess.Popen(command(tmp_path, tiny_model, scripted.port, "scenario=[rag_256_8]"),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=in_the_background)  # fmt: skip
    stored(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
