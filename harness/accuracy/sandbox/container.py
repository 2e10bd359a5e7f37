"""podman or docker: a container of an image made from nothing, so that no registry is asked and nothing is inside.

The image is an empty archive, imported once; what the command sees is the same read-only binds as in the other kinds.
The client's process is not the container's parent: the watch is told the container's process, and the container is
killed and removed by name. A docker daemon on another machine cannot bind this machine's files, and is refused by the
trial.
"""

import functools
import io
import os
import random
import subprocess
import tarfile
import uuid

from harness.accuracy.sandbox.bounded import Launch
from harness.accuracy.sandbox.request import ENVIRONMENT, Request

# podman without its own control groups: a rootless or nested one that was not delegated any
PROGRAMS = [("podman", ()), ("podman", ("--cgroups=disabled",)), ("docker", ())]
IMAGE = "localhost/harness-nothing:1"
ASK_S = 60.0  # for anything but the run itself


def launch(request: Request) -> Launch:
    program, limits = request.program, request.limits
    _import_image(program)
    name = f"harness-sandbox-{uuid.uuid4().hex}"
    user = random.randrange(61184, 65520)  # systemd's range for dynamic users: nobody's
    line = [
        *(program, "run", "--rm", "--name", name, "--pull", "never", *request.options),
        *("--network", "none", "--ipc", "private", "--hostname", "sandbox", "--log-driver", "none"),
        *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", f"{user}:{user}"),
        *("--ulimit", "nofile=256:256", "--ulimit", f"nproc={limits.processes}:{limits.processes}"),
        *("--tmpfs", f"/tmp:rw,nosuid,nodev,mode=1777,size={int(limits.tmp_bytes)}", "--workdir", "/tmp"),
        *("--shm-size", str(int(limits.tmp_bytes))),
    ]
    if is_podman(program):  # no tmpfs but ours, no proxy with its password from our environment, an end without us
        line += [
            "--read-only-tmpfs=false",
            "--http-proxy=false",
            "--no-hosts",
            "--timeout",
            str(int(limits.wall_s) + 30),
        ]
    if not request.options:
        memory = str(int(limits.total_memory_bytes))
        line += ["--memory", memory, "--memory-swap", memory, "--pids-limit", str(limits.processes + 8)]
    for key, value in ENVIRONMENT.items():
        line += ["--env", f"{key}={value}"]
    for source, target in request.visible:
        line += ["--mount", f"type=bind,source={os.path.realpath(source)},target={target},readonly"]
    ask = functools.partial(_ask, program)
    return Launch(
        [*line, IMAGE, *request.command],
        environment=dict(os.environ),  # of the client, outside
        inner_pid=lambda: int(ask("inspect", "--type", "container", "--format", "{{.State.Pid}}", name) or 0),
        end=functools.partial(_end, program, name),
    )


def _end(program: str, name: str) -> None:
    _ask(program, "kill", name)
    _ask(program, "rm", "--force", name)


def is_podman(program: str) -> bool:
    return os.path.basename(os.path.realpath(program)).startswith("podman")


@functools.cache
def _import_image(program: str) -> None:
    if _ask(program, "image", "inspect", "--format", "{{.Id}}", IMAGE):
        return
    tarfile.open(fileobj=(archive := io.BytesIO()), mode="w").close()
    done = subprocess.run(
        [program, "import", "-", IMAGE], input=archive.getvalue(), capture_output=True, timeout=ASK_S, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise OSError(f"an empty image cannot be imported: {said[0] if said else done.returncode}")


def _ask(program: str, *arguments: str) -> str:
    """What it answered; empty where it failed."""
    try:
        done = subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
