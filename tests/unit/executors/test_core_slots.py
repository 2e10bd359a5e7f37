"""Sessions side by side on CPU cores: each engine has a share of them, which is part of its cells' fingerprints."""

import os

import pytest

from harness.executors.cores import shares
from harness.executors.local import Local
from harness.executors.slots import Slots
from harness.machine import host
from harness.machine.devices import Device
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare

SMALL = ["+sweep=quickstart", "variant=[bf16]", "suite=[]", "judge=null", "noise_runs=0"]


def executor(*settings: str) -> Local:
    found = prepare(compose_sweep([*SMALL, *settings])).executor
    assert isinstance(found, Local)
    return found


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one CPU core")
def test_two_engines_on_the_cpu_have_different_cores_and_their_cells_other_fingerprints():
    one, two = (prepare(compose_sweep([*SMALL, f"executor.parallel={n}"])) for n in (1, 2))
    assert one.executor.serial and not two.executor.serial
    places = [two.executor._place(None, (n,)) for n in (0, 1)]  # type: ignore[attr-defined]
    assert places[0].cores and not set(places[0].cores) & set(places[1].cores)
    cells = [build_plan(prepared).cells[0] for prepared in (one, two)]
    assert cells[0].inputs["host"]["cores"] == host.facts()["cores"]
    assert cells[1].inputs["host"]["cores"] == len(places[0].cores)
    assert cells[0].fingerprint != cells[1].fingerprint


def test_more_sessions_than_cores_are_a_problem():
    found = executor("executor.parallel=4096").problems()
    assert found and "executor.parallel=4096: vLLM computes on this machine's" in found[0]


def test_a_core_each_is_enough_for_engines_that_compute_on_them():
    assert shares({0: [0, 1]}, 2) == [(), ()], "beside GPUs the kernel shares out better"
    assert shares({0: [0, 1]}, 2, least=1) == [(0,), (1,)]


def test_engines_that_start_at_once_have_a_cache_each_and_find_it_again(tmp_path):
    local = prepare(compose_sweep([*SMALL, "engine=vllm", f"cache_dir={tmp_path}", "executor.gpus=[0,1]"])).executor
    local.__dict__["_slots"] = Slots(tuple(Device(n, f"GPU-{n}", "NVIDIA H100") for n in (0, 1)))
    first, second, again = (local._place(None, (n,)).variables for n in (0, 1, 1))  # type: ignore[attr-defined]
    assert "VLLM_CACHE_ROOT" not in first, "the user's own, which is warm"
    assert second["VLLM_CACHE_ROOT"] == str(tmp_path / "engine_caches" / "1" / "vllm") and again == second
    assert {"TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"} <= set(second)
