"""How long a plan is said to take."""

import pytest

from harness.records.store import Store
from harness.sweeps import compose
from harness.sweeps.estimate import estimator
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare


def test_a_replay_takes_until_its_last_answer_ends(tmp_path):
    trace = tmp_path / "trace.csv"
    rows = ["2023-11-16 18:15:00,100,16", "2023-11-16 18:15:10,100,4000", "2023-11-16 18:15:20,100,16"]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n")
    config = compose.compose_sweep(
        [
            *("+sweep=quickstart", "engine=simulated", "suite=[]", "variant=[bf16]", "scenario=[chat_96_16]"),
            *("noise_runs=0", f"load.trace={trace}", "load.trace_speed=2", "load.repeats=1"),
        ]
    )
    prepared = prepare(config)
    plan = build_plan(prepared)
    (cell,) = [cell for cell in plan.cells if cell.point and cell.point.profile == "trace"]
    seconds = estimator(prepared, plan, Store(tmp_path))
    assert seconds(cell) == pytest.approx(10 / 2 + 4000 * 0.01)
