"""The settings of executor=slurm, and what Slurm is asked for a session."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.executors import NONE, Task

MARGIN, LEAST_MIN = 2.0, 15  # a job's time limit is this multiple of its estimate, and so many minutes


@dataclass
class SlurmConfig:
    """Sessions as jobs of a Slurm cluster (docs/clusters.md)."""

    kind: str = "slurm"
    partition: str | None = None  # null: the cluster's default
    account: str | None = None  # null: the user's default
    qos: str | None = None
    gpu_type: str | None = None  # as sinfo names it in GRES, where nodes have several: h100
    cpus_per_task: int = 8  # CPU cores of a job, part of its cells' fingerprints
    mem_gb: float | None = None  # of a job; null: the partition's default
    time_min: int | None = None  # time limit of a job; null: twice its estimate and 15 minutes
    sbatch: dict[str, Any] = field(default_factory=dict)  # more options: {constraint: hbm3, reservation: NAME}
    parallel: int | None = None  # jobs at once; null: as many as Slurm starts
    colocate: str = NONE  # none: a session that measures load has a node to itself (--exclusive) | all
    detach: bool = False  # submit and return; the same command later collects what is measured
    poll_s: float = 5.0  # between two looks at the queue and at the jobs' files


def options(config: SlurmConfig, gpus: int, times: bool) -> dict[str, Any]:
    """Return sbatch's options for a session, by their long names; True: an option without a value."""
    asked = {
        "partition": config.partition,
        "account": config.account,
        "qos": config.qos,
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": config.cpus_per_task,
        "gpus-per-node": (f"{config.gpu_type}:{gpus}" if config.gpu_type else gpus) if gpus else None,
        "mem": f"{math.ceil(config.mem_gb * 1024)}M" if config.mem_gb else None,
        "exclusive": True if times and config.colocate == NONE else None,
        **{key.replace("_", "-"): value for key, value in config.sbatch.items()},
    }
    return {key: value for key, value in asked.items() if value is not None and value is not False}


def flags(asked: Mapping[str, Any]) -> list[str]:
    return [f"--{key}" if value is True else f"--{key}={value}" for key, value in asked.items()]


def minutes(task: Task) -> int:
    """Return the time limit of a task's job."""
    return math.ceil(MARGIN * task.estimate_s / 60) + LEAST_MIN
