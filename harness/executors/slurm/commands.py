"""Slurm's commands and what they print: sinfo, squeue, scancel, srun, sbatch --test-only."""

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import HarnessError

ANSWER_S = 60.0  # that a command gets; Slurm's own time limit of a message is 10 s
DOWN = ("down", "drain", "fail", "maint", "not_resp", "power", "unknown", "inval")  # states of nodes, or parts of them
OVER = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "COMPLETED": "it was told to end",
    "DEADLINE": "it reached its deadline",
    "FAILED": "it failed",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it was killed for memory; raise executor.mem_gb",
    "PREEMPTED": "it was preempted and not requeued",
    "REVOKED": "it was revoked",
    "TIMEOUT": "it reached its time limit; raise executor.time_min",
}  # states of a job that has ended
USUAL = ("None", "Priority", "Resources", "Dependency", "BeginTime", "JobArrayTaskLimit", "")  # reasons to wait


class SlurmError(HarnessError):
    """What a command of Slurm printed when it failed."""


@dataclass(frozen=True)
class SlurmNode:
    name: str
    gpus: Mapping[str, int]  # by type; "" where the type is not told
    cpus: int
    state: str

    @property
    def up(self) -> bool:
        return not any(word in self.state.lower() for word in DOWN)

    def gpus_of(self, kind: str | None) -> int:
        return sum(count for name, count in self.gpus.items() if kind in (None, name))


@dataclass(frozen=True)
class JobState:
    """`state` as squeue names it: PENDING, RUNNING, COMPLETING, or one of OVER."""

    state: str
    reason: str = ""
    node: str = ""

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def words(self) -> str:
        return OVER.get(self.state, self.state)


def output(*command: str, timeout_s: float = ANSWER_S) -> str:
    """Return what a command prints. Raises SlurmError with its first line of error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except FileNotFoundError:
        raise SlurmError(f"no {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer within {timeout_s:.0f} s") from None
    if done.returncode:
        raise SlurmError(said(done.stderr, done.stdout) or f"{command[0]} ended with exit code {done.returncode}")
    return done.stdout


def said(*texts: str) -> str:
    """Return the most telling line of an error: the last one, without the command's name."""
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return re.sub(r"^\w+: (error: )*", "", lines[-1]) if lines else ""


def partitions() -> dict[str, bool]:
    """Return the partitions; True: the default one."""
    names = output("sinfo", "-h", "-o", "%P").split()
    return {name.rstrip("*"): name.endswith("*") for name in names}


def nodes(partition: str | None) -> list[SlurmNode]:
    """Return the nodes of a partition; None: of the default one."""
    name = partition or next((one for one, default in partitions().items() if default), "")
    text = output("sinfo", "-h", "-N", "-p", name, "-O", "NodeHost:64,CPUs:16,StateLong:32,Gres:256")
    return [parse_node(line) for line in text.splitlines() if line.strip()]


def parse_node(line: str) -> SlurmNode:
    """Read a line of sinfo: name, CPUs, state and GRES: ``gpu:h100:8(S:0-1),gpu:4,lustre:1``."""
    name, cpus, state, *rest = line.split(None, 3)
    gpus: dict[str, int] = {}
    for kind, count in re.findall(r"\bgpu(?::([\w.-]+))??:(\d+)", rest[0] if rest else ""):
        gpus[kind] = gpus.get(kind, 0) + int(count)
    return SlurmNode(name, gpus, int(cpus), state)


def jobs() -> dict[str, JobState]:
    """Return this user's jobs, by id (arrays: ``12_0``), with those that ended in the last minutes."""
    return parse_jobs(output("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%N"))


def parse_jobs(text: str) -> dict[str, JobState]:
    found = {}
    for line in text.splitlines():
        job, state, reason, node = (line.strip().split("|", 3) + [""] * 3)[:4]
        found[job] = JobState(state.split()[0] if state else "", reason, node)
    return found


def named(name: str) -> str | None:
    """Return the id of this user's job with a name, without the index of an array."""
    found = output("squeue", "--me", "-h", "-t", "all", f"--name={name}", "-o", "%i").split()
    return re.split(r"[_\[]", found[0])[0] if found else None


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs; those that have ended are passed over."""
    if ids := list(ids):
        output("scancel", "--quiet", *ids)


def refusal(options: Sequence[str]) -> str | None:
    """Return why Slurm refuses a job with these options; None: it takes it."""
    try:
        output("sbatch", "--test-only", *options, "--wrap", "true")
    except SlurmError as error:
        return str(error).removeprefix("allocation failure: ")
    return None
