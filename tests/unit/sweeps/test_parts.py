"""How the sessions of a plan are divided for several GPUs."""

import pickle
from dataclasses import replace

import pytest

from harness.analysis.interference import METRICS
from harness.console.progress import duration
from harness.errors import ConfigError
from harness.executors import Limits
from harness.executors.interference import keep
from harness.gemm import GEMM
from harness.records.interference import ACCURACY, LOAD, Beside, Change, Interference
from harness.records.store import Store
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.distributed import packed
from harness.sweeps.distributed.parts import Work, divide
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import estimates
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare
from harness.sweeps.session import JUDGE

EIGHT = "executor.gpus=[0,1,2,3,4,5,6,7]"


@pytest.fixture(scope="module")
def hopper(tmp_path_factory):
    """(prepared, plan, store, estimates)"""
    prepared = prepare(compose_sweep(["+sweep=hopper_sparse_fp8", EIGHT, "executor.colocate=all"]))
    plan, store = build_plan(prepared), Store(tmp_path_factory.mktemp("store"))
    return prepared, plan, store, estimates(prepared, plan, store, Durations())


def test_every_cell_is_in_one_part_with_its_fingerprint(hopper):
    _, plan, _, expected = hopper
    for colocate in ("none", "accuracy", "all"):
        works = [Work(session, session.cells, 1, 60.0) for session in plan.sessions]
        found = divide(works, lambda cell: expected.of_cell(cell.key), Limits(8, 8, colocate))
        cells = [cell for part in found.parts for cell in part.session.cells]
        assert sorted(cell.fingerprint for cell in cells) == sorted(cell.fingerprint for cell in plan.cells)
        names = [part.task.name for part in found.parts]
        assert len(set(names)) == len(names) == len(found.schedule.placed)


def test_the_executor_changes_no_fingerprint(hopper):
    _, plan, _, _ = hopper
    one = build_plan(prepare(compose_sweep(["+sweep=hopper_sparse_fp8"])))
    assert one.cells == plan.cells


def test_eight_gpus_take_hopper_from_15_hours_to_below_two_and_a_half(hopper):
    found = packed.division(*hopper)
    assert found.total_s > 14 * 3600
    assert found.schedule.makespan_s <= 2.5 * 3600 and found.schedule.gpus_used == 8
    alone = packed.division(prepare(compose_sweep(["+sweep=hopper_sparse_fp8", EIGHT])), *hopper[1:])
    assert not any(
        one.start_s < other.end_s and other.start_s < one.end_s
        for one in alone.schedule.placed
        for other in alone.schedule.placed
        if one is not other and one.task.needs.times
    ), "load sessions run alone by default"


def test_the_default_goes_by_the_interference_test_of_the_machine(hopper, tmp_path):
    _, plan, store, expected = hopper
    sweep = ["+sweep=hopper_sparse_fp8", EIGHT, f"cache_dir={tmp_path}"]
    before = prepare(compose_sweep(sweep))
    assert before.executor.limits.colocate == "none"
    takes_s = packed.test_first(before, plan, store, expected)
    assert 120 < takes_s < 600, "a sweep of this length runs the test first"
    within = tuple(Change(metric, 10.0, 1.0, 0.996, 1.004) for metric in METRICS)
    keep(tmp_path, Interference(before.executor.machine, "bf16", "m", 8, 6, beside=(Beside(LOAD, within),)))
    assert prepare(compose_sweep(sweep)).executor.limits.colocate == "none", "accuracy neighbours were not measured"
    both = (Beside(LOAD, within), Beside(ACCURACY, within))
    keep(tmp_path, Interference(before.executor.machine, "bf16", "m", 8, 6, beside=both))
    after = prepare(compose_sweep(sweep))
    assert packed.division(after, plan, store, expected).schedule.makespan_s <= 2.5 * 3600
    assert packed.test_first(after, plan, store, expected) == 0
    lines = list(packed.schedule_lines(after, plan, store, expected))
    assert "load sessions run side by side" in lines[0] and "7 neighbours changed, at most" in lines[1]
    other = prepare(compose_sweep([*sweep, "executor.gpus=[0,1]"]))
    assert other.executor.interference is None, "it is of eight sessions at once"


def test_products_and_judge_are_sessions_of_an_executor_too(hopper, tmp_path):
    prepared = prepare(compose_sweep(["+sweep=gpu_proof", EIGHT]))
    plan, store = build_plan(prepared), Store(tmp_path)
    found = packed.division(prepared, plan, store, estimates(prepared, plan, store, Durations()))
    [products] = [part for part in found.parts if part.session.kind == GEMM]
    assert products.task.needs.gpus == 1 and products.task.needs.times, "they measure time, on a GPU"
    [judge] = [part for part in packed.division(*hopper).parts if part.session.kind == JUDGE]
    assert judge.task.needs.gpus >= 1 and judge.task.after


def test_points_and_repeats_of_a_subject_stay_in_one_engine_start_and_the_judge_comes_last(hopper):
    found = packed.division(*hopper)
    homes: dict[tuple, set[str]] = {}
    for part in found.parts:
        for cell in part.session.cells:
            homes.setdefault((cell.variant, cell.kind, cell.scenario, cell.suite), set()).add(part.task.name)
    assert all(len(names) == 1 for names in homes.values())
    [judge] = [one for one in found.schedule.placed if one.task.name == "judge"]
    answers = [one for one in found.schedule.placed if one.task.name in judge.task.after]
    assert len(answers) == 4 and max(one.end_s for one in answers) <= judge.start_s


def test_a_session_is_not_divided_for_less_than_an_engine_start(hopper):
    _, plan, _, _ = hopper
    [session] = [session for session in plan.sessions if session.name.startswith("bf16@") and session.scenarios]
    works = [Work(session, session.cells, 1, 60.0)]
    [part] = divide(works, lambda cell: 0.05, Limits(8, 8, "all")).parts
    assert part.session == session and part.task.name == session.name
    assert len(divide(works, lambda cell: 10.0, Limits(8, 8, "all")).parts) > 4
    assert len(divide(works, lambda cell: 10.0, Limits(8, 1, "all")).parts) == 1


def test_five_alike_variants_take_as_long_as_one(hopper):
    _, plan, _, _ = hopper
    [session] = [session for session in plan.sessions if session.name.startswith("bf16@") and session.scenarios]
    works = [Work(replace(session, name=f"v{n}"), session.cells[:4], 1, 2.0) for n in range(5)]
    found = divide(works, lambda cell: 10.0, Limits(8, 8, "all"))
    assert found.schedule.makespan_s <= 1.25 * 42.0


def test_the_dry_run_says_the_schedule_within_a_screen(hopper):
    prepared, plan, store, expected = hopper
    lines = list(packed.schedule_lines(prepared, plan, store, expected))
    assert lines[0].startswith("8 of 8 GPUs: ") and lines[0].endswith(
        f"side by side; one GPU: {duration(expected.total_s)}"
    )
    assert len(lines) == 9 and lines[1].startswith("  GPU 0: 0:00 ")
    default = prepare(compose_sweep(["+sweep=hopper_sparse_fp8"]))
    assert not list(packed.schedule_lines(default, plan, store, expected)), "this machine has no GPU"


def test_what_a_session_needs_travels_as_bytes(hopper):
    asked = hopper[0].asked
    assert pickle.loads(pickle.dumps(asked)) == asked


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["executor.gpus=[0,0]"], "executor.gpus names GPU 0 twice"),
        (["executor.gpus=[]"], "executor.gpus=[] leaves no GPU"),
        (["executor.parallel=0"], "executor.parallel=0: must be at least 1"),
        (["executor.colocate=some"], "executor.colocate='some': must be auto, none, accuracy or all"),
        (["executor.gpus=[0,1]", "engine.port=8000"], "engine.port=8000 and several sessions on one machine"),
    ],
)
def test_a_setting_that_cannot_work_is_a_problem(settings, said):
    prepared = prepare(compose_sweep(["+sweep=quickstart", "engine=simulated", *settings]))
    assert said in "\n".join(prepared.executor.problems())


def test_gpus_of_an_engine_without_any_and_too_few_of_them_are_problems():
    prepared = prepare(compose_sweep(["+sweep=quickstart", "executor.gpus=[0]"]))
    assert "uses no NVIDIA GPU of this machine" in prepared.executor.problems()[0]
    big = ["deployments.tensor_parallel=[4]", "engine=simulated", "executor.gpus=[0,1]"]
    prepared = prepare(compose_sweep(["+sweep=hopper_sparse_fp8", *big]))
    found = packed.gpu_problems(prepared, build_plan(prepared))
    assert found and found[0].endswith("is served on 4 GPUs; 2 are free or named in executor.gpus")
    with pytest.raises(ConfigError, match="no executor 'slurmm'"):
        compose_sweep(["+sweep=quickstart", "executor=slurmm"])
