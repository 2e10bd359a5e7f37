"""Kill nodes and drivers of sweeps on a Ray cluster at random moments, and count what is lost or measured twice.

    python -m tests.benchmarks.ray_faults --nodes 10 --drivers 10 --seed 1

One small simulated study a trial, on a head and two nodes on this machine. A node that was killed is replaced before
the next trial; a driver that was killed (kill -9) is started again, and must go on from the cells that are stored.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.chaos_rows.study import MARK, processes
from tests.integration.test_ray import NODE, command
from tests.integration.test_side_by_side import records

CELLS, LONGEST_S, ENDING_S = 8, 300.0, 30.0


@dataclass(frozen=True)
class Trial:
    what: str
    at_s: float
    stored: int  # cells when the fault came
    missing: int  # cells in the end
    repeated: int  # cells that were stored before and are others in the end
    left: int  # processes
    wall_s: float
    problem: str

    @property
    def survived(self) -> bool:
        return not (self.missing or self.repeated or self.left or self.problem)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--drivers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-s", type=float, default=40.0, help="faults come at up to this, from the first cell")
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    cluster, found = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0}), []
    try:
        nodes = [cluster.add_node(**NODE, num_gpus=1) for _ in range(2)]
        for number, what in enumerate(["node"] * asked.nodes + ["driver"] * asked.drivers):
            with tempfile.TemporaryDirectory(prefix="ray_faults-") as folder:
                found.append(trial(cluster, nodes, Path(folder), f"{what}{number}", draw.uniform(0, asked.longest_s)))
                print(found[-1], flush=True)
    finally:
        cluster.shutdown()
    print(f"{sum(one.survived for one in found)} of {len(found)} survived")
    return 0 if all(one.survived for one in found) else 1


def trial(cluster, nodes: list, folder: Path, name: str, after_s: float) -> Trial:
    arguments = command(
        folder, name, "executor=ray", f"executor.address={cluster.address}", "executor.colocate=all",
        "load.single_stream_requests=20", "load.duration_s=4",
        f"+executor.runtime_env={{env_vars: {{{MARK}: {name}}}}}",
    )  # fmt: skip
    began = time.monotonic()
    log = (folder / "log").open("wb")
    driver = subprocess.Popen(arguments, stdout=log, stderr=log)
    while not (stored := records(folder, name)) and driver.poll() is None:
        time.sleep(0.05)
    time.sleep(after_s * 0.5)
    stored, at_s = records(folder, name), time.monotonic() - began
    if name.startswith("node"):
        cluster.remove_node(nodes[0], allow_graceful=False)
        code = driver.wait(LONGEST_S)
        nodes[0] = cluster.add_node(**NODE, num_gpus=1)
    else:
        driver.kill()
        driver.wait()
        stored = records(folder, name)
        code = subprocess.run(arguments, stdout=log, stderr=log, timeout=LONGEST_S, check=False).returncode
    after = records(folder, name)
    valid = {key: one for key, one in stored.items() if not any(flag["level"] == "invalid" for flag in one["flags"])}
    again = [key for key, record in valid.items() if after.get(key) != record]  # invalid cells are measured again
    problem = "" if code in (0, 1) else f"exit code {code}: {(folder / 'log').read_text()[-500:]}"
    problem += "".join(f"{key}: {_differs(valid[key], after.get(key))}; " for key in again)
    missing = CELLS - len(after)
    if missing:
        problem += (folder / "log").read_text()[-1500:]
    return Trial(name, at_s, len(stored), missing, len(again), _left(name), time.monotonic() - began, problem)


def _differs(before: dict, after: dict | None) -> str:
    """The parts of a record that differ, to tell a cell that was measured again from one that was written again."""
    return ", ".join(key for key in before if after is None or after.get(key) != before[key])


def _left(name: str) -> int:
    """Processes of sessions and engines that are still there ENDING_S later; Ray's idle workers end by themselves."""
    deadline = time.monotonic() + ENDING_S
    while (left := [one for one in processes(name).values() if not is_ray(one)]) and time.monotonic() < deadline:
        time.sleep(0.5)
    return len(left)


def is_ray(line: str) -> bool:
    return line.startswith("ray::") or "/ray/_private/" in line


if __name__ == "__main__":
    sys.exit(main())
