"""The `lm_eval` command itself (local-completions) on the same server, the same items and the same data."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accuracy_rows.served import Served
from harness.accuracy.context_length import served_context_length
from harness.accuracy.datasets import source
from harness.accuracy.lm_eval.builtin_tasks import builtin_folder
from harness.accuracy.lm_eval.tasks import write_mirror
from harness.errors import HarnessError

TIMEOUT_S = 3600


@dataclass(frozen=True)
class Stock:
    """`samples`: what it logged, by (row id, filter); `wall_s`: the command's, its start included."""

    samples: dict[tuple[str, str], dict[str, Any]]
    wall_s: float


def lm_eval(served: Served, suite: str, ids: list[str], fewshot: int, max_tokens: int, folder: Path) -> Stock:
    """`ids`: row ids of `suite` (mmlu, gsm8k), TASK/INDEX. Raises HarnessError when the command fails."""
    served.engine.reset_prefix_cache(served.server)
    data = source(served.data_root, suite, "")
    tasks = folder / "mirror"
    tasks.mkdir(parents=True)
    _, include = write_mirror(suite, suite, data.directory, builtin_folder(suite), tasks)
    chosen: dict[str, list[int]] = {}
    for name in ids:
        task, _, index = name.rpartition("/")
        chosen.setdefault(task, []).append(int(index))
    arguments = {
        "model": served.server.model,
        "base_url": f"{served.server.base_url}/v1/completions",
        "tokenizer": served.tokenizer,
        "tokenizer_backend": "huggingface",
        "num_concurrent": served.concurrency,
        "max_length": served_context_length(served.server),
        "max_gen_toks": max_tokens,
    }
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions"]
    command += ["--model_args", ",".join(f"{key}={value}" for key, value in arguments.items())]
    command += ["--tasks", ",".join(chosen), "--include_path", str(include), "--num_fewshot", str(fewshot)]
    command += ["--samples", json.dumps(chosen), "--output_path", str(folder / "out"), "--log_samples"]
    began = time.monotonic()
    with (folder / "lm_eval.log").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False)
    wall_s = time.monotonic() - began
    if done.returncode:
        last = (folder / "lm_eval.log").read_text().strip().splitlines()[-1:]
        raise HarnessError(f"lm_eval exited with {done.returncode}: {last}")
    samples = {}
    for path in (folder / "out").rglob("samples_*.jsonl"):
        task = path.name.removeprefix("samples_").rpartition("_")[0]
        for sample in map(json.loads, path.read_text().splitlines()):
            samples[f"{task}/{sample['doc_id']}", sample["filter"]] = sample
    return Stock(samples, wall_s)
