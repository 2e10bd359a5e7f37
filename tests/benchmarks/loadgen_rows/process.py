"""A command run to its end, and what its whole process tree used."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engines.process import log_tail
from harness.errors import HarnessError

WRAPPER = Path(__file__).with_name("measured.py")
MARGIN_S = 30.0  # for the wrapper itself to end a tree
# Nobody phones home. HF_HUB_OFFLINE would be right too, but AIPerf 0.13 then takes no directory for a tokenizer.
QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "NO_PROXY": "127.0.0.1"}


@dataclass(frozen=True)
class Usage:
    cpu_s: float  # user and system, of all processes
    wall_s: float
    peak_bytes: int  # of the sum of their resident sets; 0 where memory was not looked at
    children_peak_bytes: int  # sum of the peaks of all processes but the first, which was the command itself


def run_measured(
    command: Sequence[str], log: Path, timeout_s: float, *, memory: bool = False, cores: set[int] | None = None
) -> Usage:
    """Raises HarnessError with the end of the log when the command fails or takes too long."""
    result = log.with_suffix(".usage.json")
    wrapper = [sys.executable, str(WRAPPER), str(result), str(timeout_s), str(int(memory)), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            wrapper,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **QUIET},
            cwd=log.parent,
            start_new_session=True,
        )
        if cores:
            os.sched_setaffinity(process.pid, cores)
        try:
            process.wait(timeout_s + MARGIN_S)
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait(MARGIN_S)
    found = json.loads(result.read_text())
    if found["ended"] or found["exit_code"]:
        why = found["ended"] or f"exit code {found['exit_code']}"
        raise HarnessError(f"{' '.join(command[:4])} ...: {why}; the end of its log:\n{log_tail(log)}")
    return Usage(found["cpu_s"], found["wall_s"], found["peak_bytes"], found["children_peak_bytes"])
