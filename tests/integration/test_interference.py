"""An interference test through the command line, on two simulated engines, and the sweep that goes by it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.prepare import prepare

SWEEP = ("+sweep=quickstart", "engine=simulated", "executor.gpus=[0,1]", "progress=plain", "variant=[bf16]")


@pytest.fixture
def cache_dir(tmp_path):
    """The user's cache, where the model is imported already, but for results of interference tests."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for part in ("checkpoints", "packages", "environments"):
        whole = Path("~/.cache/harness").expanduser() / part
        whole.mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(whole)
    return folder


def test_the_result_is_kept_for_the_machine_and_decides_what_runs_at_once(tmp_path, cache_dir):
    settings = [*SWEEP, f"results_dir={tmp_path}/results", f"cache_dir={cache_dir}", "suite=[]", "judge=null"]
    before = prepare(compose_sweep(settings)).executor
    assert before.interference is None and before.limits.colocate == "none"
    command = [sys.executable, "-m", "harness", "interference", *settings, "--rounds", "2", "--turn-s", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "itl_ms_p99" in done.stdout and "executor.colocate=auto is" in done.stdout
    [file] = (cache_dir / "interference").glob("*.json")
    stored = json.loads(file.read_text())
    assert stored["sessions"] == 2 and stored["rounds"] == 2 and stored["machine"]["gpus"] == ["0", "1"]
    executor = prepare(compose_sweep(settings)).executor
    assert executor.interference is not None and executor.colocate == executor.interference.colocate
    assert prepare(compose_sweep([*settings, "executor.gpus=[0,1,2]"])).executor.interference is None


def test_a_machine_without_neighbours_is_refused():
    command = [sys.executable, "-m", "harness", "interference", "+sweep=quickstart", "engine=simulated"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "one session runs at a time here" in done.stderr, done.stderr
