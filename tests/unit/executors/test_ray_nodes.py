"""What nodes of a Ray cluster are chosen, and what preflight says of them. Ray itself is not needed."""

from dataclasses import replace

import pytest

from harness.errors import ConfigError
from harness.executors.ray import nodes as ray_nodes
from harness.executors.ray.node import Look
from harness.executors.ray.nodes import RayNode
from harness.machine.host import Node

H100 = {"name": "NVIDIA H100 80GB HBM3", "compute_capability": 9.0, "mig_instance": False, "memory_gib": 79.6}
NODE = Node({"cpu": "Some CPU (avx512f)", "cores": 64, "gpus": [H100]}, frozenset({"avx512f"}), [H100], None)
NODES = [
    RayNode("a" * 56, "head", "10.0.0.1", {"CPU": 8.0}),
    RayNode("b" * 56, "gpu1", "10.0.0.2", {"CPU": 64.0, "GPU": 8.0, "accelerator_type:H100": 1.0}),
    RayNode("c" * 56, "gpu2", "10.0.0.3", {"CPU": 64.0, "GPU": 8.0, "accelerator_type:A100": 1.0}),
]
LABELS = {node.id: node.host for node in NODES}


def look(host: str, **changes) -> Look:
    fine = Look(host, NODE, dict(ray_nodes.packages()), {}, {"/cache": 100.0}, shares=True, hub=None)
    return replace(fine, **changes)


def problems(*looks: Look | str, shared: bool = True) -> list[str]:
    found = {node.id: look for node, look in zip(NODES[1:], looks, strict=False)}
    return ray_nodes.problems(found, LABELS, shared, 0.5)


@pytest.mark.parametrize(
    ("named", "resources", "gpus", "hosts"),
    [
        (None, {}, True, ["gpu1", "gpu2"]),
        (None, {}, False, ["head", "gpu1", "gpu2"]),
        (None, {"accelerator_type:H100": 0.001}, True, ["gpu1"]),
        (["10.0.0.3", "head"], {}, True, ["gpu2"]),
        (["cccccccc"], {}, True, ["gpu2"]),
        (["nowhere"], {}, False, []),
    ],
)
def test_sessions_run_on_nodes_that_have_what_they_need(named, resources, gpus, hosts):
    assert [node.host for node in ray_nodes.usable(NODES, named, resources, gpus)] == hosts


def test_nodes_that_lack_nothing_are_no_problem():
    assert problems(look("gpu1"), look("gpu2")) == []


def test_a_problem_of_several_nodes_is_one_line_that_names_them():
    full = look("x", free_gb={"/cache": 0.1})
    assert problems(full, full) == [
        "2 nodes (gpu1, gpu2): /cache: 0.1 GB free, 0.5 GB wanted; free some or set cache_dir="
    ]


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ({"shares": False}, "node gpu2: cache_dir is not the folder that gpu1 has; set cache_dir= to one"),
        ({"unwritable": {"/cache": "Read-only file system"}}, "node gpu2: nothing can be written in /cache (Read-only"),
        ({"hub": "https://huggingface.co does not answer"}, "node gpu2: https://huggingface.co does not answer;"),
        ({"packages": {**ray_nodes.packages(), "lm-eval": "0.4.8"}}, "node gpu2: lm-eval 0.4.8; the driver has 0.4."),
        ({"packages": {**ray_nodes.packages(), "mlflow": None}}, "node gpu2: mlflow is missing; the driver has"),
    ],
)
def test_a_node_that_lacks_something_is_named_with_what_to_do(lacks, words):
    found = problems(look("gpu1"), look("gpu2", **lacks))
    assert len(found) == 1 and found[0].startswith(words), found


def test_a_cache_that_is_not_shared_is_no_problem_where_it_need_not_be():
    assert problems(look("gpu1"), look("gpu2", shares=False), shared=False) == []


def test_a_node_that_does_not_answer_is_named():
    assert problems(look("gpu1"), "did not answer within 120 s") == ["node gpu2: did not answer within 120 s"]


def test_nodes_of_two_kinds_are_refused_with_how_to_choose():
    other = Node({**NODE.facts}, NODE.cpu_flags, [{**H100, "name": "NVIDIA A100-SXM4-80GB"}], None)
    (found,) = problems(look("gpu1"), look("gpu2", node=other))
    assert "2 kinds" in found and "node gpu1: Some CPU (avx512f), 64 cores, NVIDIA H100 80GB HBM3" in found
    assert "node gpu2: Some CPU (avx512f), 64 cores, NVIDIA A100-SXM4-80GB" in found and "executor.nodes=" in found


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:9", "executor.address=127.0.0.1:9: no Ray listens there .*ray start --head"),
        ("ray://127.0.0.1:9", "executor.address=ray://127.0.0.1:9: no Ray listens there"),
        ("gpu1", "executor.address=gpu1: must be auto, HOST:PORT or ray://HOST:PORT"),
    ],
)
def test_an_address_where_no_ray_is_is_one_line(address, words):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=words):
        ray_nodes.connect(address, {})


def test_a_cluster_that_has_ended_is_one_line_and_not_a_minute(tmp_path, monkeypatch):
    """Ray keeps the address of the last cluster, tries it for a minute and ends the process."""
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9\n")
    with pytest.raises(ConfigError, match=r"executor\.address=auto: no Ray listens there"):
        ray_nodes.connect("auto", {})


def test_a_node_that_dies_while_it_is_looked_at_is_left_out_and_the_others_are_asked_again(monkeypatch):
    """Its token was the dead one's: without a second look the others would share no cache folder."""
    asked, lives = [], list(NODES[1:])

    def answer(ray, nodes, folders, ask_hub):
        asked.append([node.host for node in nodes])
        if len(asked) == 1:
            lives.remove(NODES[1])
            return {NODES[1].id: "cannot run the harness", NODES[2].id: look("gpu2", shares=False)}
        return {node.id: look(node.host) for node in nodes}

    monkeypatch.setattr(ray_nodes, "_look_at", answer)
    monkeypatch.setattr(ray_nodes, "living", lambda ray: lives)
    found = ray_nodes.look_at(None, NODES[1:], ["/cache"], ask_hub=False)
    assert asked == [["gpu1", "gpu2"], ["gpu2"]]
    assert found == {NODES[2].id: look("gpu2")}
    lives.clear()
    assert ray_nodes.look_at(None, NODES[2:], ["/cache"], ask_hub=False) == {}
