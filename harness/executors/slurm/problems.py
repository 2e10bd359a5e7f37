"""What preflight says of executor=slurm: one line for each problem, with what to do."""

import shutil
from importlib.util import find_spec

from harness.engines import Engine
from harness.errors import did_you_mean
from harness.executors import ALL, NONE, setting_problems
from harness.executors.slurm.commands import SlurmError, nodes, partitions, refusal
from harness.executors.slurm.options import SlurmConfig, flags, options


def problems(config: SlurmConfig, engine: Engine) -> list[str]:
    if wrong := _settings(config, engine):
        return wrong
    if find_spec("submitit") is None:
        return ["executor=slurm needs submitit: pip install 'harness[slurm]'"]
    absent = [name for name in ("sbatch", "squeue", "sinfo", "scancel", "srun") if not shutil.which(name)]
    if absent:
        return [f"executor=slurm: no {', '.join(absent)} here; run on a login node of the cluster, or executor=local"]
    try:
        return _cluster(config, engine)
    except SlurmError as error:
        return [f"executor=slurm: Slurm does not answer: {error}; check with: scontrol ping"]


def _settings(config: SlurmConfig, engine: Engine) -> list[str]:
    found = setting_problems(config, engine, (NONE, ALL), shared=True)
    for name in ("cpus_per_task", "mem_gb", "time_min", "poll_s"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            found.append(f"executor.{name}={value}: must be more than 0")
    return found


def _cluster(config: SlurmConfig, engine: Engine) -> list[str]:
    there = partitions()
    name = config.partition or next((one for one, default in there.items() if default), None)
    if name is None:
        return [f"executor.partition: the cluster has no default one; choose among {', '.join(there)}"]
    if name not in there:
        return [f"executor.partition={name}: no such partition{did_you_mean(name, list(there))}"]
    found = nodes(name)
    up = [node for node in found if node.up]
    if not up:
        told = ", ".join(f"{node.name}: {node.state}" for node in found[:4]) or "it has none"
        return [f"executor.partition={name}: no node is up ({told}); sinfo -R says why"]
    on_gpus = engine.device in ("cuda", "rocm")
    if on_gpus and not any(node.gpus_of(config.gpu_type) for node in up):
        types = sorted({kind for node in up for kind in node.gpus if kind})
        what = f"GPU of type {config.gpu_type}" if config.gpu_type else "GPU"
        has = f"; it has {', '.join(types)}" if types else ""
        return [f"executor.partition={name}: no node that is up has a {what}{has}; choose another partition"]
    cpus = max(node.cpus for node in up)
    if config.cpus_per_task > cpus:
        return [f"executor.cpus_per_task={config.cpus_per_task}: the largest node of {name} has {cpus} CPU cores"]
    asked = options(config, 1 if on_gpus else 0, False) | ({"time": config.time_min} if config.time_min else {})
    why = refusal(flags(asked))
    settings = "see executor.account, .qos, .time_min and .sbatch"
    return [f"Slurm refuses jobs of this sweep: {why}; {settings}"] if why else []
