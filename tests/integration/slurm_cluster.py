"""A Slurm cluster of one node on this machine: munged, slurmctld and slurmd in a folder, on loopback, on free ports."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch")
UP_S, DOWN_S = 30.0, 30.0
CONF = """
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket,cred_expire=6
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 Gres=gpu:{gpus}
PartitionName=short Nodes={host} Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=60 PriorityTier=2
"""


def missing() -> str | None:
    """Why there can be no cluster here; None: there can."""
    if os.geteuid() != 0:
        return "slurmd runs as root"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    return f"{', '.join(absent)} not installed: make system" if absent else None


@contextlib.contextmanager
def cluster(folder: Path, gpus: int = 2) -> Iterator[dict[str, str]]:
    """Yield the environment in which Slurm's commands find the cluster."""
    host, ports = socket.gethostname(), free_ports(2)
    for name in ("state", "spool", "dev"):
        (folder / name).mkdir(parents=True)
    for number in range(gpus):
        (folder / f"dev/gpu{number}").touch()
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/dev/gpu[0-{gpus - 1}]\n")
    about = CONF.format(name=f"test{os.getpid()}", host=host, folder=folder, ports=ports, gpus=gpus)
    (folder / "slurm.conf").write_text(about)
    environment = {**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"}
    subprocess.run(["mungekey", "--create", f"--keyfile={folder}/munge.key"], check=True)
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
    munge = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
    with contextlib.ExitStack() as stack:
        for command in (["munged", "--foreground", "--force", *munge], ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = stack.enter_context((folder / f"{command[0]}.out").open("wb"))
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(_end, process)
        _await_idle(environment)
        yield environment
        subprocess.run(["scancel", "--quiet", "--user=root"], env=environment, timeout=DOWN_S, check=False)


def queue(environment: dict[str, str]) -> list[str]:
    """What runs or waits."""
    command = ["squeue", "-h", "-r", "-o", "%i %T %j"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def _await_idle(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + UP_S
    command = ["sinfo", "-h", "-p", "short", "-o", "%t"]
    while time.monotonic() < deadline:
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if told.stdout.strip() == "idle":
            return
        time.sleep(0.1)
    raise RuntimeError(f"the node did not come up: {told}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(DOWN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
