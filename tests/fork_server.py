"""Start Python commands by fork, from a process that has imported what they import: 1.5 s of CPU time less for each.

    python -m tests.fork_server FD [transformers]

FD is a Unix socket. Each message is a command (`{"module", "arguments", "directory", "environment"}` as JSON) and four
file descriptors: its standard input, output and error, and a pipe that gets its process id and then its wait status.
A command is a process as any other: its own environment, directory, signals, exit code. tests/commands.py asks.
With `transformers`, which reads settings of the hub when it is imported, commands have this process's settings.
"""

import contextlib
import gc
import json
import os
import runpy
import socket
import sys
from typing import Any

# No library that reads its settings from the environment when it is imported: a command has its own environment.
PRELOADED = (
    *("aiohttp", "harness.check", "harness.compare.__main__", "harness.engines", "harness.engines.simulated"),
    *("harness.inspect", "harness.loadgen.measure", "harness.report.__main__", "harness.sweeps.command"),
    *("harness.sweeps.composing.compose", "harness.sweeps.sweep", "harness.track"),
)
READ_THE_ENVIRONMENT = ("datasets", "evalplus", "huggingface_hub", "lm_eval", "mlflow", "openai", "transformers")


def next_command(asked: socket.socket) -> dict[str, Any]:
    """Return in a new process for each command that `asked` gives; this one ends when the other side closes."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 4)
        if not message:
            os._exit(0)
        waiter = os.fork()
        if waiter == 0:
            asked.close()
            *streams, report = descriptors
            if (command := os.fork()) == 0:
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                os.closerange(3, max(descriptors) + 1)
                return json.loads(message)
            with contextlib.suppress(BrokenPipeError):  # a command that was killed after its time has no reader
                os.write(report, b"%d\n" % command)
                os.write(report, b"%d\n" % os.waitpid(command, 0)[1])
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(-1, os.WNOHANG)


def main() -> None:
    for name in PRELOADED:
        __import__(name)
    assert not [name for name in READ_THE_ENVIRONMENT if name in sys.modules]
    if sys.argv[2:] == ["transformers"]:
        from transformers import AutoTokenizer  # noqa: F401  a second of CPU time
    gc.freeze()  # pages that no collection writes to stay shared
    asked = next_command(socket.socket(fileno=int(sys.argv[1])))
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["directory"])
    sys.path[0] = asked["directory"]
    sys.argv[1:] = asked["arguments"]
    for name in (asked["module"], f"{asked['module']}.__main__"):  # runpy loads it again, and warns where it is loaded
        if not hasattr(sys.modules.get(name), "__path__"):
            sys.modules.pop(name, None)
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
