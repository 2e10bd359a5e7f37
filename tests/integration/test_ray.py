"""A sweep on a Ray cluster of three nodes with declared GPUs, one of which is killed, through the command line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.test_side_by_side import items, records

pytest.importorskip("ray", reason="Ray is not installed: pip install 'harness[ray]'")
NODE = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}
SMALL = ("suites.alpaca_eval.items=3", "load.single_stream_requests=4", "load.throughput_requests=8", "load.repeats=1")


def command(tmp_path: Path, name: str, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "harness", "+sweep=quickstart", "engine=simulated", f"name={name}", "progress=plain"),
        *("variant=[bf16,w4a16]", "suite=[alpaca_eval]", "data.root=pocket", "judge=null", "scenario=[chat_96_16]"),
        *("load.rates_rps=[8]", "load.duration_s=1", "load.min_requests=4", "noise_runs=0", "mlflow.enabled=false"),
        *(*SMALL, f"results_dir={tmp_path}/results", f"reports_dir={tmp_path}/reports", *more),
    ]


@pytest.fixture(scope="module")
def cluster():
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODE, "num_gpus": 1})
    try:
        yield made
    finally:
        made.shutdown()


def test_a_node_is_killed_and_the_cells_are_those_of_one_machine(cluster, tmp_path):
    """Identical fingerprints, prompts, arrivals and answers; what was measured before stays as it was."""
    nodes = [cluster.add_node(**NODE, num_gpus=1) for _ in range(2)]
    one = subprocess.run(command(tmp_path, "one"), capture_output=True, text=True, timeout=240, check=False)
    assert "report:" in one.stdout, one.stdout + one.stderr
    on_ray = ("executor=ray", f"executor.address={cluster.address}", "executor.colocate=all")
    with subprocess.Popen(
        command(tmp_path, "three", *on_ray), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None and not (before := records(tmp_path, "three")):
            time.sleep(0.05)
        cluster.remove_node(nodes[0], allow_graceful=False)
        said, _ = process.communicate(timeout=300)
    assert "report:" in said and "FAILED" not in said and "Traceback" not in said, said
    local, ray = records(tmp_path, "one"), records(tmp_path, "three")
    assert {key: record["fingerprint"] for key, record in local.items()} == {
        key: record["fingerprint"] for key, record in ray.items()
    }
    assert all(ray[key] == record for key, record in before.items())
    assert items(tmp_path, "one") == items(tmp_path, "three")
    assert all(record["placement"]["host"] == os.uname().nodename for record in ray.values())


def test_gpus_that_no_node_has_are_one_line(cluster, tmp_path):
    wrong = ("executor=ray", f"executor.address={cluster.address}", "deployments.tensor_parallel=[2]", "dry_run=true")
    done = subprocess.run(command(tmp_path, "wrong", *wrong), capture_output=True, text=True, timeout=240, check=False)
    said = done.stdout + done.stderr
    assert "is served on 2 GPUs; no node has more than 1" in said and "Traceback" not in said, said
