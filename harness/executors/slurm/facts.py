"""What the compute nodes are: a short job prints it once, as fingerprints name CPU and GPUs of what measures."""

import contextlib
import json
import re
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness.engines import Engine
from harness.errors import PreflightError
from harness.executors.slurm.commands import SlurmError, nodes, output
from harness.executors.slurm.options import SlurmConfig, flags, options
from harness.executors.slurm.problems import problems
from harness.machine.disk import write_atomically
from harness.machine.host import Node

KEPT, MOST, WAIT_S, LIMIT_MIN = "slurm_nodes.json", 20, 24 * 3600.0, 5


def node_facts(
    config: SlurmConfig, engine: Engine, folders: Mapping[str, Path], say: Callable[[str], None], wait: bool
) -> Node | None:
    """Return the compute node that sessions are planned for; None where nobody has asked one and `wait` is False.

    Raises PreflightError: a job cannot run at all, or does not see what the machines must share.
    """
    asked = options(config, 1 if engine.device in ("cuda", "rocm") else 0, False)
    cache = folders["cache_dir"] / KEPT
    told = [_cluster(), asked, sys.executable, {name: str(folder) for name, folder in folders.items()}]
    key = sha256(json.dumps(told).encode()).hexdigest()[:16]
    known = _known(cache)
    if key not in known:
        where = f"partition {config.partition or '(the default one)'}"
        if not wait:
            say(f"{where}: its CPU and GPUs are not known until the first run; planned for this machine meanwhile")
            return None
        if found := problems(config, engine):
            raise PreflightError(found)
        say(f"{where}: asking a node for its CPU and GPUs, in a short job (once; kept in {cache})")
        known[key] = _asked(asked, folders)
        write_atomically(cache, json.dumps(dict([*known.items()][-MOST:]), indent=1))
    node = Node.from_json(known[key])
    most = max((one.gpus_of(config.gpu_type) for one in nodes(config.partition)), default=0) if node.gpus else 0
    return Node(node.facts, node.cpu_flags, node.gpus[:1] * most, node.no_nvml)  # the job saw one of them


def _cluster() -> str:
    with contextlib.suppress(SlurmError):
        found = re.search(r"^ClusterName\s*= (.*)$", output("scontrol", "show", "config"), re.MULTILINE)
        return found[1] if found else ""
    return ""


def _known(cache: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(cache.read_text())
    return {}


def _asked(asked: Mapping[str, Any], folders: Mapping[str, Path]) -> dict[str, Any]:
    with _marked(folders) as marks:
        command = [sys.executable, "-m", "harness.machine.node", "--shared", *marks]
        job = flags({**asked, "time": LIMIT_MIN, "job-name": "harness-node", "quiet": True})
        try:
            text = output("srun", *job, *command, timeout_s=WAIT_S)
            told = json.loads(text.strip().splitlines()[-1])
        except SlurmError as error:
            hint = f"it runs {sys.executable}, which the nodes must have too"
            raise PreflightError([f"a short job on a compute node failed: {error}; {hint}"]) from None
        except (ValueError, IndexError):
            raise PreflightError([f"a short job on a compute node printed {text[:200]!r} in place of facts"]) from None
        lacks = [name for mark, name in marks.items() if mark in told["lacks"]]
    if lacks:
        do = "set it to a folder that all nodes share"
        raise PreflightError([f"{name} {folders[name]}: node {told['host']} does not see it; {do}" for name in lacks])
    return told["node"]


@contextlib.contextmanager
def _marked(folders: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """A new file in each folder, by the setting that names the folder."""
    marks: dict[str, str] = {}
    try:
        for name, folder in folders.items():
            folder.mkdir(parents=True, exist_ok=True)
            mark = folder / f".shared-{uuid.uuid4().hex}"
            mark.touch()
            marks[str(mark)] = name
        yield marks
    finally:
        for path in map(Path, marks):
            path.unlink(missing_ok=True)
