"""What is made beside a session: the next one's checkpoint, where nothing is timed and memory has room for both."""

from contextlib import nullcontext

import psutil
import pytest

from harness.checkpoints.prepare import Workshop
from harness.console.progress import make_progress
from harness.machine import host
from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.kinds import SERVED
from harness.sweeps.measuring import made_beside
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare
from harness.sweeps.run import Run

SWEEP = ("+sweep=quickstart", "variant=[bf16,w4a16,fp8_dynamic]", "suite=[mmlu]", "mlflow.enabled=false")


@pytest.fixture
def made(monkeypatch):
    """The checkpoints that were begun, on a machine without GPUs whose environments are ready."""
    begun = []
    monkeypatch.setattr(made_beside, "making", lambda *of: begun.append(of[1:]) or nullcontext())
    monkeypatch.setattr(Workshop, "has_environment", lambda self: True)
    monkeypatch.setattr(host, "gpus", list)
    return begun


def run_of(folder, *overrides) -> Run:
    given = [*SWEEP, f"cache_dir={folder}", f"results_dir={folder}", *overrides]
    prepared = prepare(compose.compose_sweep(given))
    estimates, progress = Estimates((), Durations()), make_progress("plain")
    return Run(prepared, build_plan(prepared), Store(folder / "results"), progress, estimates)


def finish_timed(run: Run, session) -> None:
    run.failed |= {cell.key: "done" for cell in session.cells if SERVED[cell.kind].times}


def test_the_next_sessions_checkpoint_is_made_once_nothing_is_timed(made, tmp_path):
    run = run_of(tmp_path)
    first, second, _ = run.plan.sessions
    made_beside.making_next(run, first)
    assert not made, "load cells are still to be measured"
    finish_timed(run, first)
    made_beside.making_next(run, first)
    assert made == [(second.checkpoint, second.recipe)]
    run.failed |= {cell.key: "failed" for cell in second.cells}
    made_beside.making_next(run, first)
    assert made[1] == (run.plan.sessions[2].checkpoint, run.plan.sessions[2].recipe), "the next that has cells"


@pytest.mark.parametrize("obstacle", ["gpu", "memory", "environment", "last", "simulated"])
def test_nothing_is_made_where_it_would_be_in_the_way(made, tmp_path, monkeypatch, obstacle):
    run = run_of(tmp_path, *(["engine=simulated"] if obstacle == "simulated" else []))
    session = run.plan.sessions[-1 if obstacle == "last" else 0]
    finish_timed(run, session)
    if obstacle == "gpu":
        monkeypatch.setattr(host, "gpus", lambda: [{"name": "H100"}])
    if obstacle == "memory":
        monkeypatch.setattr(host, "available_bytes", lambda: 1 << 30)
    if obstacle == "environment":
        monkeypatch.setattr(Workshop, "has_environment", lambda self: False)
    made_beside.making_next(run, session)
    assert not made


def test_available_memory_is_psutils():
    assert host.available_bytes() == pytest.approx(psutil.virtual_memory().available, rel=0.1)
