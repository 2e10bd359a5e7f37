"""Engines that outlived the harness and the watchdog: what is found, what is stopped, and what is never touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engines import leftovers
from harness.engines.watchdog import started_at

pytestmark = pytest.mark.slow

MARK = "0123456789abcdef0123456789abcdef"
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, env={})
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(leftovers, "WATCHDOG_S", 0.0)


@pytest.fixture
def engine():
    """A process with the mark, and its child in a session of its own that does not carry it."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env={**os.environ, leftovers.MARK: MARK}
    )
    child = int(process.stdout.readline())
    yield process, child
    process.kill()
    process.wait()
    if started_at(child):
        os.kill(child, 9)


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def record(results: Path, pid: int, /, **changes) -> Path:
    path = results / "study" / "logs" / leftovers.RECORDS.replace("*", MARK)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "mark": MARK, "log": "bf16.log", "where": leftovers.where(), "command": "vllm serve", "pid": pid,
        "started": started_at(pid), "harness_pid": dead_pid(), "harness_started": 1, "watchdog_pid": dead_pid(),
        "watchdog_started": 1,
    }  # fmt: skip
    path.write_text(json.dumps(facts | changes))
    return path


def test_what_was_left_behind_is_named_and_stopped_with_its_children(tmp_path, engine):
    process, child = engine
    path = record(tmp_path, process.pid)
    (left,) = leftovers.find(tmp_path)
    assert left.marked and str(process.pid) in left.words and "vllm serve" in left.words and "bf16.log" in left.words
    leftovers.stop(left, grace_s=5)
    assert process.wait(10) < 0 and started_at(child) is None
    assert not path.exists() and leftovers.find(tmp_path) == []


def test_an_engine_of_a_harness_that_runs_is_not_left_behind(tmp_path, engine):
    path = record(tmp_path, engine[0].pid, harness_pid=os.getpid(), harness_started=started_at(os.getpid()))
    assert leftovers.find(tmp_path) == [] and path.exists()


def test_a_process_that_took_the_number_is_not_touched(tmp_path):
    """The same pid, started at another time."""
    other = subprocess.Popen(["sleep", "600"])
    try:
        path = record(tmp_path, other.pid, started=started_at(other.pid) - 1)
        assert leftovers.find(tmp_path) == [] and not path.exists(), "the record is of a process that has ended"
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_process_without_the_mark_is_named_and_not_stopped(tmp_path):
    """A forged record, or a program that overwrote its environment."""
    other = subprocess.Popen(["sleep", "600"])
    try:
        record(tmp_path, other.pid)
        (left,) = leftovers.find(tmp_path)
        assert not left.marked
        leftovers.stop(left, grace_s=0.2)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_records_of_other_machines_stay_and_those_of_an_earlier_boot_go(tmp_path, engine):
    here = leftovers.where()
    elsewhere = record(tmp_path, engine[0].pid, where=here | {"host": "another"})
    assert leftovers.find(tmp_path) == [] and elsewhere.exists()
    other_container = record(tmp_path, engine[0].pid, where=here | {"pids": "pid:[1]"})
    assert leftovers.find(tmp_path) == [] and other_container.exists()
    earlier = record(tmp_path, engine[0].pid, where=here | {"boot": "before"})
    assert leftovers.find(tmp_path) == [] and not earlier.exists()
    assert engine[0].poll() is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"where": 1}', "[" * 100_000, '{"mark": 1, "where": {}, "pid": "1"}', "\x00"]
)
def test_what_is_no_record_is_passed_over(tmp_path, text):
    path = record(tmp_path, os.getpid())
    path.write_text(text)
    assert leftovers.find(tmp_path) == []


@pytest.mark.parametrize(
    "changes", [{"pid": "x"}, {"pid": -1}, {"pid": 0}, {"pid": True}, {"pid": 1.5}, {"mark": ""}, {"mark": "="}]
)
def test_odd_values_stop_nothing(tmp_path, engine, changes):
    record(tmp_path, engine[0].pid, **changes)
    for left in leftovers.find(tmp_path):
        leftovers.stop(left, grace_s=0.2)
    assert engine[0].poll() is None or "pid" in changes, "by its mark it is found, whatever the record says"
