"""What Slurm prints, what it is asked for, and the files of a job. With Slurm: tests/integration/test_slurm.py."""

import os
import pickle
import signal
from pathlib import Path

import pytest

from harness.executors import Needs, Task
from harness.executors.slurm.batches import Batch, Reading, kept
from harness.executors.slurm.commands import JobState, SlurmNode, parse_jobs, parse_node, said
from harness.executors.slurm.job import Began, Files, Over, SessionJob
from harness.executors.slurm.options import SlurmConfig, flags, minutes, options

ENTRIES = "tests.unit.executors.entries"


@pytest.mark.parametrize(
    ("line", "node"),
    [
        ("n1 128 idle gpu:h100:8(S:0-1)", SlurmNode("n1", {"h100": 8}, 128, "idle")),
        ("n2 64 mixed gpu:a100:4,gpu:h100:2,lustre:1", SlurmNode("n2", {"a100": 4, "h100": 2}, 64, "mixed")),
        ("n3 8 idle gpu:4", SlurmNode("n3", {"": 4}, 8, "idle")),
        ("n4 8 drained* (null)", SlurmNode("n4", {}, 8, "drained*")),
    ],
)
def test_nodes_are_read_with_their_gpus(line, node):
    found = parse_node(line)
    assert found == node and found.up == (found.name != "n4")
    assert found.gpus_of(None) == sum(node.gpus.values()) and found.gpus_of("h100") == node.gpus.get("h100", 0)


def test_states_of_jobs_and_of_tasks_of_an_array():
    found = parse_jobs("7|PENDING|Resources|\n8_0|RUNNING|None|n1\n8_1|OUT_OF_MEMORY|OutOfMemory|n2\n")
    assert found["7"] == JobState("PENDING", "Resources") and not found["8_0"].over
    assert found["8_1"].over and found["8_1"].words == "it was killed for memory; raise executor.mem_gb"
    assert said("sbatch: error: invalid partition specified: x\nallocation failure: Invalid partition name") == (
        "allocation failure: Invalid partition name"
    )


def test_a_session_asks_for_what_it_needs():
    config = SlurmConfig(partition="gpu", gpu_type="h100", mem_gb=1.5, sbatch={"constraint": "hbm3", "no_kill": True})
    assert flags(options(config, 2, times=True)) == [
        *("--partition=gpu", "--nodes=1", "--ntasks=1", "--cpus-per-task=8", "--gpus-per-node=h100:2", "--mem=1536M"),
        *("--exclusive", "--constraint=hbm3", "--no-kill"),
    ]
    assert "exclusive" not in options(config, 2, times=False) | options(SlurmConfig(colocate="all"), 1, times=True)
    assert minutes(Task("a", Needs(), 3600.0)) == 135


def test_a_batch_is_found_again_with_what_its_jobs_have_said(tmp_path):
    tasks = [Task(name, Needs(1), 60.0, entry="a:b", describe=name.encode, cells=(name,)) for name in ("one", "two")]
    batch = Batch.written(tmp_path / "jobs", tasks)
    assert oct(batch.files(0).work.stat().st_mode & 0o777) == "0o600" == oct(batch.files(1).work.stat().st_mode & 0o777)
    assert [batch.job for batch in kept(tmp_path)] == [None]
    batch.note("12")
    [found] = kept(tmp_path)
    assert [found.id_of(number) for number in (0, 1)] == ["12_0", "12_1"] and found.name == batch.name
    assert [(task.name, task.needs, task.cells) for task in found.tasks] == [
        ("one", Needs(1), ("one",)),
        ("two", Needs(1), ("two",)),
    ]


def test_events_are_read_once_and_one_that_was_cut_is_sent_again(tmp_path):
    files, entries = Files(tmp_path, 0), (f"{ENTRIES}:tell", f"{ENTRIES}:left", b"x")
    before = signal.getsignal(signal.SIGUSR2)
    try:
        files.work.write_bytes(pickle.dumps(entries))
        SessionJob(str(tmp_path), 0, str(tmp_path / "log"))()
        whole = files.events.read_bytes()
        files.events.write_bytes(whole[:-3])  # killed as it wrote its last event
        began, told = list(Reading(files).new())
        assert isinstance(began, Began) and began.place.outlives and told[0] == b"x"
        assert list(Reading(files).new()) == [] and not files.work.exists()
        files.work.write_bytes(pickle.dumps(entries))
        SessionJob(str(tmp_path), 0, str(tmp_path / "log"))()
    finally:
        signal.signal(signal.SIGUSR2, before)
    again, told, over = Reading(files).new()
    assert isinstance(again, Began) and told[0] == b"x after 2 events" and over == Over(0, over.at_s)
    assert Path(tmp_path / "log").read_text().count("what is printed is in the log") == 2
    Reading(files).end()
    assert Reading(files).ended and os.getpid()
