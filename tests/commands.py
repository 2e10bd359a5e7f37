"""Run the harness's commands as processes, by fork from one that has imported their modules (fork_server.py).

For tests of what a command does. Tests of how Python starts, of signals and of the process list use `subprocess`.
"""

import functools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


# What huggingface_hub and transformers read when they are imported.
HUB = re.compile(r"HF_\w+|HUGGING\w+|TRANSFORMERS_\w+|TOKENIZERS_\w+|USE_\w+|XDG_CACHE_HOME|HOME|DISABLE_TELEMETRY")


def _hub(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if HUB.fullmatch(name)}


AT_START = _hub(os.environ)


@functools.cache
def _server(libraries: str | None, transformers: bool) -> socket.socket:
    """A fork server of this process, which ends with it.

    `libraries`: LD_LIBRARY_PATH, which is read when Python starts; `transformers`: whether it is imported, with the
    settings of the hub that were there at the start.
    """
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    environment = {name: value for name, value in environment.items() if not HUB.fullmatch(name)} | AT_START
    environment |= {"LD_LIBRARY_PATH": libraries} if libraries is not None else {}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.fork_server", str(theirs.fileno()), *["transformers"] * transformers]
    nothing = subprocess.DEVNULL
    subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()], stdin=nothing, stdout=nothing)
    theirs.close()
    return ours


def run(
    command: Sequence[str],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 250,
) -> subprocess.CompletedProcess[str]:
    """Do what `subprocess.run(command, capture_output=True, text=True)` does for [sys.executable, "-m", MODULE, ...].

    Raises subprocess.TimeoutExpired after `timeout` seconds; the process is then killed.
    """
    python, option, module, *arguments = command
    assert (python, option) == (sys.executable, "-m"), command
    asked: dict[str, Any] = {
        "module": module,
        "arguments": arguments,
        "directory": str(cwd or Path.cwd()),
        "environment": dict(os.environ if env is None else env),
    }
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors, open(os.devnull) as nothing:
        answer, report = os.pipe()
        try:
            streams = [nothing.fileno(), out.fileno(), errors.fileno(), report]
            told = asked["environment"]
            server = _server(told.get("LD_LIBRARY_PATH"), _hub(told) == AT_START)
            socket.send_fds(server, [json.dumps(asked).encode()], streams)
        finally:
            os.close(report)
        with open(answer) as said:
            process = int(said.readline())
            if not select.select([said], [], [], timeout)[0]:
                os.kill(process, signal.SIGKILL)
                raise subprocess.TimeoutExpired(command, timeout, _text(out).encode(), _text(errors).encode())
            code = os.waitstatus_to_exitcode(int(said.readline()))
        return subprocess.CompletedProcess(command, code, _text(out), _text(errors))


def _text(file) -> str:
    """What was written, with "\\n" for every line end, as subprocess's text mode reads it."""
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n").replace("\r", "\n")
