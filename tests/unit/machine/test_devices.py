"""Which GPUs CUDA shows a server, by CUDA_VISIBLE_DEVICES."""

import pytest

from harness.machine.devices import Gpu, visible

FOUR = [Gpu(n, f"GPU-{n}{n}aa-0000", "NVIDIA H100") for n in range(4)]
SLICED = [Gpu(0, "GPU-00aa", "NVIDIA H100", ("MIG-aa11", "MIG-aa22")), Gpu(1, "GPU-11aa", "NVIDIA H100")]


def seen(gpus, value=None, **more):
    found = visible(gpus, ({} if value is None else {"CUDA_VISIBLE_DEVICES": value}) | more)
    return [device.uuid for device in found.devices], list(found.problems)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, [0, 1, 2, 3]),
        ("2", [2]),
        ("3, 1", [3, 1]),  # in that order: the first is the server's first
        ("GPU-22aa-0000", [2]),
        ("GPU-3,GPU-0", [3, 0]),  # cut short, and still one GPU each
        ("1,GPU-22aa-0000", [1, 2]),
    ],
)
def test_what_is_named_is_seen_in_its_order(value, wanted):
    assert seen(FOUR, value) == ([FOUR[n].uuid for n in wanted], [])


@pytest.mark.parametrize(
    ("value", "wanted", "line"),
    [
        ("", [], "hides every GPU; unset it"),
        ("-1", [], "hides every GPU; unset it"),
        ("1,7,2", [1], "is called '7', so CUDA does not see it nor those after it"),
        ("GPU-", [], "more than one, is called 'GPU-'"),  # of four
        ("GPU-ffff", [], "the GPUs here: 0: GPU-00aa-0000, 1: "),
        ("0,0", [], "names 0 twice; CUDA then sees no GPU"),
    ],
)
def test_what_cuda_does_not_see_is_said(value, wanted, line):
    found, problems = seen(FOUR, value)
    assert found == [FOUR[n].uuid for n in wanted]
    assert len(problems) == 1 and line in problems[0]


def test_an_instance_is_named_by_its_uuid_and_an_index_means_the_first():
    assert seen(SLICED, "MIG-aa22") == (["MIG-aa22"], [])
    assert seen(SLICED, "0") == (["MIG-aa11"], [])
    assert seen(SLICED, "1") == (["GPU-11aa"], [])
    (device,) = visible(SLICED, {"CUDA_VISIBLE_DEVICES": "MIG-aa22"}).devices
    assert device.gpu == 0 and device.instance and "one MIG instance" in device.title


def test_a_gpu_in_mig_mode_without_an_instance_runs_nothing():
    found, problems = seen([Gpu(0, "GPU-00aa", "NVIDIA H100", ())])
    assert found == [] and "GPU 0 is in MIG mode and has no instance" in problems[0]


def test_different_gpus_are_numbered_otherwise_by_cuda_than_by_nvml():
    mixed = [Gpu(0, "GPU-00aa", "NVIDIA T4"), Gpu(1, "GPU-11aa", "NVIDIA H100")]
    assert "export CUDA_DEVICE_ORDER=PCI_BUS_ID" in seen(mixed, "0")[1][0]
    assert "export CUDA_DEVICE_ORDER=PCI_BUS_ID" in seen(mixed)[1][0]
    assert seen(mixed, "0", CUDA_DEVICE_ORDER="PCI_BUS_ID")[1] == []
    assert seen(mixed, "GPU-11aa")[1] == []
