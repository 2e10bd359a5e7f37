"""A session where an executor sent it: the same cells as in the plan, on the GPUs of its place."""

import os
import pickle

import pytest

from harness.executors import Place
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.distributed import session_worker
from harness.sweeps.distributed.session_events import Refused, SessionWork
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """(work, plan, sessions that were measured: (session, place, CUDA_VISIBLE_DEVICES))"""
    config = compose_sweep(["+sweep=quickstart", "engine=simulated", "suite=[]", "judge=null", "scenario=[chat_96_16]"])
    plan = build_plan(prepare(config))
    session = plan.sessions[1]
    wanted = tuple(cell.fingerprint for cell in session.cells[:2])
    work = SessionWork(config, session.name, "part", str(tmp_path), wanted, (), {}, {}, {})
    measured: list[tuple] = []
    monkeypatch.setattr(
        session_worker,
        "measure_session",
        lambda run, session: measured.append((session, run.place, os.environ.get("CUDA_VISIBLE_DEVICES"))),
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(session_worker, "start_log", lambda level: None)
    return work, plan, measured


def test_the_cells_that_were_sent_are_measured_under_the_parts_name(sent):
    work, plan, measured = sent
    place = Place("here", ("GPU-7",), (), {"CUDA_VISIBLE_DEVICES": "7"})
    events: list = []
    session_worker.measure(pickle.dumps(work), place, events.append)
    [(session, seen, shown)] = measured
    assert session.name == "part" and session.cells == plan.sessions[1].cells[:2]
    assert seen == place and shown == "7" and not events


def test_another_plan_than_the_parents_measures_nothing(sent):
    work, _, measured = sent
    changed = SessionWork(**{**vars(work), "wanted": (work.wanted[0], "another")})
    events: list = []
    session_worker.measure(pickle.dumps(changed), Place("here"), events.append)
    [refused] = events
    assert isinstance(refused, Refused) and not refused.full and not measured
    assert refused.error.startswith("part: 1 of 2 cells would not be those of the plan: ")
