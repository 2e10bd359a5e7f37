"""Which GPUs and CPU cores sessions have."""

import pytest

from harness.executors import cores
from harness.executors.slots import slots
from harness.machine.devices import Gpu

NODE = [Gpu(n, f"GPU-{n}aaa", "NVIDIA H100") for n in range(4)]
MIG = [Gpu(0, "GPU-0", "NVIDIA H100", ("MIG-a", "MIG-b")), Gpu(1, "GPU-1", "NVIDIA H100")]


def test_all_gpus_that_cuda_shows_are_used_by_index():
    found = slots(None, NODE, {})
    assert len(found) == 4 and found.names([2]) == ("GPU-2aaa",)
    assert found.variables([1, 3]) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,3"}
    shown = slots(None, NODE, {"CUDA_VISIBLE_DEVICES": "3,2"})
    assert [device.gpu for device in shown.devices] == [3, 2]
    assert shown.variables([0])["CUDA_VISIBLE_DEVICES"] == "3"


def test_named_gpus_are_indices_uuids_and_mig_instances():
    assert [device.gpu for device in slots([3, "GPU-1"], NODE, {}).devices] == [3, 1]
    instances = slots(["MIG-a", "MIG-b"], MIG, {})
    assert instances.variables([0]) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "MIG-a"}
    assert instances.variables([1])["CUDA_VISIBLE_DEVICES"] == "MIG-b"
    assert not slots(["MIG-b"], MIG, {"CUDA_VISIBLE_DEVICES": "0"}).problems


@pytest.mark.parametrize(
    ("asked", "environment", "said"),
    [
        ([0, 7], {}, "executor.gpus: this machine has no GPU 7; its GPUs: 0: GPU-0aaa"),
        ([1, 1], {}, "executor.gpus names GPU 1 twice"),
        ([0], {"CUDA_VISIBLE_DEVICES": "2,3"}, "executor.gpus: CUDA_VISIBLE_DEVICES=2,3 hides GPU 0"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_a_problem(asked, environment, said):
    assert said in "\n".join(slots(asked, NODE, environment).problems)


def test_gpus_of_another_model_are_not_used_and_naming_them_is_a_problem():
    mixed = [*NODE[:2], Gpu(2, "GPU-2", "NVIDIA A10")]
    assert [device.gpu for device in slots(None, mixed, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).devices] == [0, 1]
    assert "of different models (0: NVIDIA H100, 2: NVIDIA A10)" in slots([0, 2], mixed, {}).problems[0]


def test_without_nvml_named_gpus_are_a_problem_and_are_counted_for_the_plan():
    found = slots([0, 1], [], {})
    assert len(found) == 2 and "its GPUs: none" in found.problems[0] and not found.variables([0])


def test_cores_are_shared_out_within_numa_nodes():
    nodes = {0: list(range(8)), 1: list(range(8, 16))}
    assert cores.shares(nodes, 4) == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 14, 15)]
    odd = cores.shares(nodes, 3)
    assert odd == [(0, 1, 2, 3, 4), (8, 9, 10, 11, 12), (5, 6, 7, 13, 14)]
    assert cores.shares({0: [0, 1]}, 2) == [(), ()], "one core each is the kernel's to share out"


def test_a_gpu_has_cores_of_its_numa_node(tmp_path):
    nodes = {0: list(range(8)), 1: list(range(8, 16))}
    assert cores.shares(nodes, 2, [1, 1]) == [(8, 9, 10, 11), (12, 13, 14, 15)]
    assert cores.shares(nodes, 3, [0, 1, 1]) == [(0, 1, 2, 3), (8, 9, 10, 11), (12, 13, 14, 15)]
    assert cores.shares(nodes, 2, [1, None]) == cores.shares(nodes, 2), "where all are known, or none"
    (tmp_path / "0000:3b:00.0").mkdir()
    (tmp_path / "0000:3b:00.0" / "numa_node").write_text("1\n")
    assert cores.node_of("00000000:3B:00.0", tmp_path) == 1
    (tmp_path / "0000:3b:00.0" / "numa_node").write_text("-1\n")
    assert cores.node_of("00000000:3B:00.0", tmp_path) is None and cores.node_of(None) is None
    assert cores.node_of("00000000:5E:00.0", tmp_path) is None


def test_the_client_is_apart_from_the_engine_where_there_are_cores_for_both():
    assert cores.apart(range(8), 1) == ((0, 1), (2, 3, 4, 5, 6, 7))
    assert cores.apart(range(8), 32) == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert cores.apart((0, 1), 1) == ((0, 1), (0, 1))


def test_the_kernels_lists_of_cpus_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 1, 2, 8}, raising=False)
    for number, text in ((0, "0-3\n"), (1, "8,10-11\n")):
        (tmp_path / f"node{number}").mkdir()
        (tmp_path / f"node{number}" / "cpulist").write_text(text)
    assert cores.nodes(tmp_path) == {0: [0, 1, 2], 1: [8]}
    assert cores.nodes(tmp_path / "none") == {0: [0, 1, 2, 8]}


def test_a_thread_is_bound_for_the_context_alone():
    before = cores.os.sched_getaffinity(0)
    with cores.bound([min(before)]):
        assert cores.os.sched_getaffinity(0) == {min(before)}
    assert cores.os.sched_getaffinity(0) == before
