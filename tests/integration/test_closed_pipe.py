"""Commands whose reader has gone end without a word, with the status of SIGPIPE."""

import os
import subprocess
import sys

import pytest

from harness.console.output import PIPE_CLOSED

COMMANDS = [
    ["harness", "--help"],
    ["harness", "report", "--help"],
    ["harness", "+sweep=quickstart", "--cfg", "job"],
    ["harness", "+sweep=quickstart", "dry_run=true", "mlflow.enabled=false"],
    ["harness.catalogue"],
    ["harness.rehearse", "--help"],
    ["harness.inspect", "--help"],
    ["harness.track", "--help"],
    ["harness.compare", "--help"],
    ["harness.report", "--help"],
    ["harness.selftest", "--help"],
    ["harness.telemetry", "--help"],
]


@pytest.mark.parametrize(
    ("command", "buffered"),
    [
        *((command, True) for command in COMMANDS),
        (["harness.inspect", "--help"], False),
        (["harness.catalogue"], False),
    ],
)
def test_a_closed_pipe_is_a_quiet_end(command, buffered, tmp_path):
    env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    env |= {} if buffered else {"PYTHONUNBUFFERED": "1"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, "-m", *command], env=env, stdout=writer, stderr=subprocess.PIPE,
                              text=True, timeout=120, check=False, cwd=tmp_path)  # fmt: skip
    finally:
        os.close(writer)
    assert "Traceback" not in done.stderr and "roken" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.returncode == PIPE_CLOSED


def test_another_broken_pipe_is_not_hushed(tmp_path):
    code = "import sys; from harness.console.output import masked_main\ndef main(): raise BrokenPipeError('a socket')\n"
    done = subprocess.run([sys.executable, "-c", code + "sys.exit(masked_main(main))"], capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.returncode == 1 and "a socket" in done.stderr
