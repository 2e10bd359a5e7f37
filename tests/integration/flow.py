"""A small sweep against a small server, through the command line."""

import json
import subprocess
import sys
from pathlib import Path

from tests import commands

CELLS = 2 * 2 * 3  # variants x scenarios x (single stream, throughput, one rate)


def command(tmp_path: Path, model: Path, port: int, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "harness", "+sweep=quickstart", "engine=endpoint"),
        *(f"engine.base_url=http://127.0.0.1:{port}", f"model={model}", "name=flow", "progress=plain"),
        *("engine.model=tiny", "engine.version=1", "+engine.targets.fp8_dynamic={model: tiny-fp8}"),
        *("variant=[bf16,fp8_dynamic]", "suite=[]", "judge=null", "scenario=[rag_256_8,code_completion_64_24]"),
        *("load.rates_rps=[20]", "load.duration_s=0.5", "load.min_requests=8", "mlflow.enabled=false"),
        "load.repeats=1",
        "load.retries=9",  # a machine that is busy with other tests spoils some cells
        *("hardware.min_free_disk_gb=0.1", f"results_dir={tmp_path}/results", f"reports_dir={tmp_path}/reports", *more),
    ]


def run(*arguments, **options) -> subprocess.CompletedProcess:
    return commands.run(command(*arguments, **options), timeout=240)


def records(tmp_path: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in (tmp_path / "results/flow/cells").glob("*/record.json")]
    return {record["cell"]["key"]: record for record in found}
