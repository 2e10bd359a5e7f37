"""Processes of sessions on this machine: their places, their events and their ends."""

import os
from pathlib import Path

import pytest

from harness.engines.simulated.engine import Simulated, SimulatedConfig
from harness.errors import DiskFull
from harness.executors import Ended, Needs, Started, Task
from harness.executors.local import Local, LocalConfig
from harness.executors.slots import Slots
from harness.machine.devices import Device

ENTRIES = "tests.unit.executors.entries"


@pytest.fixture
def local(tmp_path):
    return Local(LocalConfig(gpus=[0, 1]), Simulated(SimulatedConfig(), tmp_path))


def task(name: str, log: Path, entry: str = "tell", seconds: float = 1.0, after: tuple[str, ...] = ()) -> Task:
    return Task(name, Needs(gpus=1), seconds, after, f"{ENTRIES}:{entry}", log, name.encode)


def test_sessions_have_disjoint_gpus_and_cores_and_their_events_come_in_order(local, tmp_path):
    own = sorted(os.sched_getaffinity(0))[:2]
    local.__dict__["_slots"] = Slots(tuple(Device(n, f"GPU-{n}", "NVIDIA H100") for n in (4, 6)))
    local.__dict__["_cores"] = [(own[0],), (own[-1],)]
    seen: list[tuple] = []
    tasks = [task("a", tmp_path / "a"), task("b", tmp_path / "b"), task("c", tmp_path / "c", "tell", 9.0, ("a",))]
    local.run(tasks, lambda task, place, event: seen.append((task.name, event)))
    events = {name: [event for other, event in seen if other == name] for name in "abc"}
    assert all(found[0] == Started() and found[-1] == Ended(None) and len(found) == 3 for found in events.values())
    assert events["a"][1] == (b"a", "4", ("GPU-4",), [own[0]])
    assert events["b"][1] == (b"b", "6", ("GPU-6",), [own[-1]])
    assert seen.index(("c", Started())) > seen.index(("a", Ended(None))), "the longest, but it waits for another"
    assert seen.index(("b", Started())) < seen.index(("a", Ended(None)))
    assert (tmp_path / "a").read_text() == "what is printed is in the log\n"


def test_a_process_that_is_killed_ends_with_its_reason_after_what_it_had_sent(local, tmp_path):
    seen: list = []
    local.run([task("a", tmp_path / "a", "die")], lambda task, place, event: seen.append(event))
    assert seen == [Started(), "before", Ended("its process was killed by signal 9")]


def test_nothing_runs_on_when_the_store_is_full(local, tmp_path):
    pids: list[int] = []

    def receive(task, place, event):
        if isinstance(event, int):
            pids.append(event)
            if len(pids) == 2:
                raise DiskFull("no space left")

    with pytest.raises(DiskFull):
        local.run([task("a", tmp_path / "a", "wait"), task("b", tmp_path / "b", "wait")], receive)
    assert len(pids) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in pids)
