"""Facts of another machine, for a sweep that is planned here and measured there."""

import json
import subprocess
import sys

import pytest

from harness.machine import host
from harness.machine.host import Node

H100 = {"name": "NVIDIA H100 80GB HBM3", "compute_capability": 9.0, "memory_gib": 80.0, "driver": "570"}
NODE = Node({"cpu": "EPYC", "cores": 8, "gpus": [H100]}, frozenset({"avx2"}), [H100, H100], None)


class Cuda:
    device, env = "cuda", {}


def test_the_other_machine_is_told_of_and_this_one_again_afterwards():
    here = host.facts()
    with host.measured_on(NODE):
        assert host.identity(host.gpus_for(Cuda())[:2]) == {"cpu": "EPYC", "cores": 8, "gpus": [H100["name"]] * 2}
        assert host.cpu_flags() == {"avx2"} and host.cpu_dtype() == "float32" and host.amd_gpus() == []
        assert host.node() is NODE and Node.here().facts == here
    assert host.facts() == here and host.node() is None


def test_a_machine_prints_what_it_is_and_which_files_it_lacks(tmp_path):
    lacks = str(tmp_path / "absent")
    done = subprocess.run(
        [sys.executable, "-m", "harness.machine.node", "--shared", str(tmp_path), lacks],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert Node.from_json(told["node"]) == Node.here() and told["lacks"] == [lacks]


@pytest.mark.parametrize(
    ("facts", "gpus", "difference"),
    [
        ({"cpu": "EPYC", "cores": 8}, [H100], None),
        ({"cpu": "EPYC", "cores": 64}, [H100], None),  # a session is bound to 8 of them
        ({"cpu": "EPYC", "cores": 4}, [H100], "cores 4 in place of 8"),
        ({"cpu": "Xeon", "cores": 8}, [H100], "cpu Xeon in place of EPYC"),
        ({"cpu": "EPYC", "cores": 8}, [], "GPU none in place of NVIDIA H100 80GB HBM3"),
        ({"cpu": "EPYC", "cores": 8}, [{"name": "L4"}], "GPU L4 in place of NVIDIA H100 80GB HBM3"),
    ],
)
def test_a_machine_of_another_kind_is_not_fit(facts, gpus, difference):
    assert NODE.difference(Node(facts, frozenset(), gpus, None)) == difference
