"""Kill drivers and jobs of a real Slurm at random moments: python -m tests.benchmarks.slurm --trials 10

Each trial sends a small study of the simulated engine to a cluster on this machine (root, slurm-wlm, munge), kills its
driver, the process of a session or all processes of a job (SIGKILL) at a random moment, and runs the same command
again. Per kind:

    survived     the command run again ends with every cell measured
    lost         a cell that was stored, or that a job had written, is not in the store
    repeated     such a cell was measured again: the store has another record of it
    left behind  jobs in the queue, processes of jobs, files of jobs in the store

Exit code 1 unless every trial survives and the other three are 0.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.executors.slurm.batches import kept
from harness.sweeps.distributed.session_events import Measured
from tests.integration.slurm_cluster import cluster, missing, queue
from tests.integration.test_side_by_side import records
from tests.integration.test_slurm import SLURM, arguments, left_behind, processes

KINDS = ("driver", "session", "job")
CELLS, SPAN_S, LIMIT_S = 6, 30.0, 400.0
Measurement = tuple[str, float]  # when a record's measurement began, and its seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10, help="of each kind")
    parser.add_argument("--span", type=float, default=SPAN_S, help="seconds after the first job began: the last kill")
    parser.add_argument("--seed", type=int, default=2026)
    asked = parser.parse_args()
    if why := missing():
        print(f"no Slurm here: {why}", file=sys.stderr)
        return 2
    chance, rows = random.Random(asked.seed), dict[str, list[dict[str, int]]]()
    folder = Path(tempfile.mkdtemp(prefix="slurm-bench-"))
    with cluster(folder / "slurm") as environment:
        for number in range(asked.trials):
            for kind in KINDS:
                seconds = chance.uniform(0.0, asked.span)
                row = trial(kind, seconds, folder / f"{kind}{number}", environment)
                rows.setdefault(kind, []).append(row)
                print(f"{kind} after {seconds:.1f} s: {row}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    print("| killed | tried | survived | lost | repeated | left behind |\n|---|---|---|---|---|---|")
    for kind, found in rows.items():
        totals = [sum(row[key] for row in found) for key in ("survived", "lost", "repeated", "left")]
        print(f"| {kind} | {len(found)} | {' | '.join(map(str, totals))} |")
    every = [row for found in rows.values() for row in found]
    clean = all(row["survived"] and not row["lost"] + row["repeated"] + row["left"] for row in every)
    return 0 if clean else 1


def trial(kind: str, seconds: float, folder: Path, environment: dict[str, str]) -> dict[str, int]:
    words, root = arguments(folder, "study", "suite=[]", *SLURM), folder / "results/study"
    folder.mkdir()
    with (folder / "output").open("wb") as output:
        driver = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
        began_s = time.monotonic()
        while not list(root.glob("jobs/*/*.events")) and driver.poll() is None and time.monotonic() < began_s + LIMIT_S:
            time.sleep(0.1)
        time.sleep(seconds)
        if kind == "driver":
            driver.kill()
        elif kind == "session":
            for pid in processes(environment, b"harness.executors.worker")[:1]:
                os.kill(pid, signal.SIGKILL)
        else:
            ids = [line.split()[0] for line in queue(environment) if " RUNNING " in line]
            subprocess.run(["scancel", "--quiet", "--signal=KILL", *ids[:1]], env=environment, check=False)
        before = measured(folder, root)
        driver.wait(LIMIT_S)
        done = subprocess.run(words, env=environment, stdout=output, stderr=output, timeout=LIMIT_S, check=False)
    after = {key: {(one["started_at"], one["duration_s"])} for key, one in records(folder, "study").items()}
    return {
        "survived": int(done.returncode == 0 and len(after) == CELLS),
        "lost": sum(key not in after for key in before),
        "repeated": sum(key in after and not after[key] <= found for key, found in before.items()),
        "left": len(left_behind(environment, folder)),
    }


def measured(folder: Path, root: Path) -> dict[str, set[Measurement]]:
    """Return what the store has and what jobs have written, by cell."""
    found = {key: {(one["started_at"], one["duration_s"])} for key, one in records(folder, "study").items()}
    for batch in kept(root):
        for number in range(len(batch.tasks)):
            for event, _ in batch.files(number).read():
                if isinstance(event, Measured) and not event.record.invalid:
                    one = event.record
                    found.setdefault(one.cell.key, set()).add((str(one.started_at), one.duration_s or 0.0))
    return found


if __name__ == "__main__":
    sys.exit(main())
