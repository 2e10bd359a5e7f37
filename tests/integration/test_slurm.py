"""Sessions as jobs of a real Slurm, on the simulated engine: the same cells as locally, whoever is killed."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engines.simulated.engine import Simulated, SimulatedConfig
from harness.executors.slurm.options import SlurmConfig
from harness.executors.slurm.problems import problems
from tests.integration.slurm_cluster import cluster, missing, queue
from tests.integration.test_side_by_side import command, items, records

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

SLURM = ("executor=slurm", "executor.poll_s=0.2", "executor.cpus_per_task=2")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def arguments(tmp_path: Path, name: str, *more: str) -> list[str]:
    local = command(tmp_path, name, "suite=[gsm8k]", "suites.gsm8k.items=6", "judge=null")
    return [word for word in local if not word.startswith(("executor.", "suites.alpaca_eval", "judge."))] + [*more]


@contextlib.contextmanager
def started(slurm: dict[str, str], words: list[str]) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(words, env=slurm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(found, seconds: float = 240.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def left_behind(slurm: dict[str, str], tmp_path: Path) -> list[str]:
    """Jobs and their processes, and what jobs have left in the stores."""
    return [*queue(slurm), *map(str, tmp_path.glob("results/*/jobs/*")), *map(str, processes(slurm, b"python"))]


def processes(slurm: dict[str, str], word: bytes) -> list[int]:
    """Return the processes of the cluster's jobs with a word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = slurm["SLURM_CONF"].encode() in (path / "environ").read_bytes()
            found += [int(path.name)] if ours and word in (path / "cmdline").read_bytes() else []
    return found


def test_killed_drivers_and_requeued_jobs_measure_the_same_cells_as_one_machine(slurm, tmp_path):
    local = subprocess.run(arguments(tmp_path, "here"), capture_output=True, text=True, check=False)
    assert "report:" in local.stdout, local.stdout + local.stderr
    words = arguments(tmp_path, "there", *SLURM)
    with started(slurm, words) as driver:
        until(lambda: records(tmp_path, "there"))
        driver.kill()
    before = records(tmp_path, "there")
    [running, *_] = [line.split()[0] for line in queue(slurm) if " RUNNING " in line]
    subprocess.run(["scontrol", "requeue", running], env=slurm, check=True)
    done = subprocess.run(words, env=slurm, capture_output=True, text=True, timeout=240, check=False)
    assert "report:" in done.stdout and "found its job" in done.stderr, done.stdout + done.stderr
    assert "submitted as job" not in done.stderr, "nothing is submitted twice"
    one, two = records(tmp_path, "here"), records(tmp_path, "there")
    assert {key: record["fingerprint"] for key, record in one.items()} == {
        key: record["fingerprint"] for key, record in two.items()
    }
    assert all(two[key] == record for key, record in before.items()), "nothing is measured twice"
    assert items(tmp_path, "here") == items(tmp_path, "there")
    assert accuracy(tmp_path, "here") == accuracy(tmp_path, "there")
    assert two["bf16/gsm8k"]["placement"]["host"] == os.uname().nodename
    assert left_behind(slurm, tmp_path) == []


def accuracy(tmp_path: Path, name: str) -> str:
    suites = json.loads((tmp_path / f"reports/{name}/summary.json").read_text())["suites"]
    assert suites
    return json.dumps(suites)


def test_a_detached_run_is_collected_by_the_same_command_and_ctrl_c_cancels(slurm, tmp_path):
    words = arguments(tmp_path, "later", "variant=[bf16]", "scenario=[]", *SLURM)
    sent = subprocess.run([*words, "executor.detach=true"], env=slurm, capture_output=True, text=True, check=False)
    assert sent.returncode == 0 and "the same command collects what is measured" in sent.stderr, sent.stderr
    assert records(tmp_path, "later") == {} and len(queue(slurm)) == 1
    until(lambda: not queue(slurm))
    done = subprocess.run([*words, "executor.detach=true"], env=slurm, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and [*records(tmp_path, "later")] == ["bf16/gsm8k"], done.stderr
    with started(slurm, arguments(tmp_path, "cancelled", "variant=[bf16]", "suite=[]", *SLURM)) as driver:
        until(lambda: records(tmp_path, "cancelled"))
        driver.send_signal(signal.SIGINT)
        said = driver.communicate(timeout=60)[0]
    assert driver.returncode == 130 and "cancelling job" in said, said
    assert left_behind(slurm, tmp_path) == []


def test_what_the_cluster_lacks_is_one_line(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    engine = Simulated(SimulatedConfig(), tmp_path)
    assert problems(SlurmConfig(cpus_per_task=2), engine) == []
    [line] = problems(SlurmConfig(partition="shrot"), engine)
    assert line == "executor.partition=shrot: no such partition; did you mean 'short'? available: short, urgent"
    [line] = problems(SlurmConfig(sbatch={"nodelist": "nowhere"}), engine)
    assert line.startswith("Slurm refuses jobs of this sweep: Invalid node name specified"), line
    monkeypatch.setattr(Simulated, "device", "cuda")
    [line] = problems(SlurmConfig(gpu_type="h100"), engine)
    assert line == "executor.partition=short: no node that is up has a GPU of type h100; choose another partition"
