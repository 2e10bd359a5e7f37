"""When sessions run, and on which GPUs."""

import itertools
import random
from types import SimpleNamespace

import pytest

from harness.executors import ALL, NONE, Limits, Needs, Task, setting_problems
from harness.executors.packing import may_share, schedule


def task(name: str, seconds: float, gpus: int = 1, times: bool = False, after: tuple[str, ...] = ()) -> Task:
    return Task(name, Needs(gpus=gpus, times=times), seconds, after)


def shortest(seconds: list[float], gpus: int) -> float:
    """The shortest makespan, by trying every assignment."""
    loads = (
        [sum(s for s, own in zip(seconds, chosen, strict=True) if own == gpu) for gpu in range(gpus)]
        for chosen in itertools.product(range(gpus), repeat=len(seconds))
    )
    return min(map(max, loads))


@pytest.mark.parametrize("seed", range(40))
def test_longest_first_is_within_grahams_bound_of_the_optimum(seed):
    draw = random.Random(seed)
    gpus = draw.choice([2, 3])
    seconds = [float(draw.randint(1, 30)) for _ in range(draw.randint(1, 7))]
    tasks = [task(str(n), each) for n, each in enumerate(seconds)]
    found = schedule(tasks, Limits(gpus, gpus, "none")).makespan_s
    best = shortest(seconds, gpus)
    assert best <= found <= (4 / 3 - 1 / (3 * gpus)) * best + 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_no_schedule_breaks_a_rule(seed):
    draw = random.Random(seed)
    gpus, colocate = draw.choice([2, 4, 8]), draw.choice(["none", "accuracy", "all"])
    tasks = [
        task(str(n), draw.randint(1, 30), draw.randint(0, gpus), draw.random() < 0.4) for n in range(draw.randint(1, 9))
    ]
    tasks.append(task("judge", 5, 1, after=("0",)))
    limits = Limits(gpus, draw.randint(1, gpus), colocate)
    placed = schedule(tasks, limits).placed
    assert sorted(one.task.name for one in placed) == sorted(one.name for one in tasks)
    ends = {one.task.name: one.end_s for one in placed}
    for one in placed:
        assert len(set(one.gpus)) == one.task.needs.gpus and all(0 <= gpu < gpus for gpu in one.gpus)
        assert all(ends[name] <= one.start_s for name in one.task.after)
        beside = [other for other in placed if other.start_s <= one.start_s < other.end_s and other is not one]
        assert len(beside) < limits.parallel
        for other in beside:
            assert not set(one.gpus) & set(other.gpus)
            assert may_share(one.task, other.task, colocate)


def test_what_times_runs_alone_unless_the_sweep_says_otherwise():
    load, other, suite = task("load", 10, times=True), task("other", 10, times=True), task("suite", 4)
    assert schedule([load, other, suite], Limits(3, 3, "none")).makespan_s == 24
    assert schedule([load, other, suite], Limits(3, 3, "accuracy")).makespan_s == 20
    assert schedule([load, other, suite], Limits(3, 3, "all")).makespan_s == 10
    assert schedule([load, other, suite], Limits(3, 1, "all")).makespan_s == 24


def test_a_task_that_fits_nowhere_is_an_error():
    with pytest.raises(ValueError, match="big cannot run on 2 GPUs"):
        schedule([task("big", 1, gpus=4)], Limits(2, 2, "all"))


def test_load_sessions_share_a_machine_only_where_each_has_its_cores():
    one, two = (Task(name, Needs(1, cores=4, times=True), 10.0) for name in "ab")
    assert schedule([one, two], Limits(2, 2, "all", cores=7)).makespan_s == 20
    assert schedule([one, two], Limits(2, 2, "all", cores=8)).makespan_s == 10
    suites = [Task(name, Needs(1, cores=4), 10.0) for name in "ab"]
    assert schedule(suites, Limits(2, 2, "all", cores=7)).makespan_s == 10, "accuracy does not depend on it"


def test_load_sessions_run_at_once_on_different_nodes():
    tasks = [task(name, 10, times=True) for name in "abc"]
    assert schedule(tasks, Limits(6, 6, "none", nodes=(2, 2, 2))).makespan_s == 10
    assert schedule(tasks, Limits(6, 6, "none")).makespan_s == 30
    assert schedule(tasks, Limits(6, 2, "none", nodes=(2, 2, 2))).makespan_s == 20, "parallel is of all nodes"


def test_a_session_does_not_span_nodes():
    found = schedule([task("a", 5, gpus=3), task("b", 9, gpus=2)], Limits(6, 6, "all", nodes=(2, 4))).placed
    assert {one.task.name: one.gpus for one in found} == {"b": (2, 3), "a": (2, 3, 4)}
    with pytest.raises(ValueError, match="big cannot run"):
        schedule([task("big", 1, gpus=3)], Limits(4, 4, "all", nodes=(2, 2)))


def test_nodes_without_gpus_run_one_session_each():
    tasks = [task(name, 10, gpus=0) for name in "abcd"]
    assert schedule(tasks, Limits(0, 3, "all", nodes=(0, 0, 0))).makespan_s == 20


@pytest.mark.parametrize(
    ("port", "shared", "parallel", "colocate", "said"),
    [
        (None, True, None, NONE, []),
        (8000, False, 1, NONE, []),
        (8000, True, 0, "some", [
            "engine.port=8000 and several sessions on one machine: set engine.port=null",
            "executor.parallel=0: must be at least 1",
            "executor.colocate='some': must be none or all",
        ]),
    ],
)  # fmt: skip
def test_settings_of_all_executors_have_one_wording(port, shared, parallel, colocate, said):
    config = SimpleNamespace(parallel=parallel, colocate=colocate)
    engine = SimpleNamespace(config=SimpleNamespace(port=port))
    assert setting_problems(config, engine, (NONE, ALL), shared) == said
