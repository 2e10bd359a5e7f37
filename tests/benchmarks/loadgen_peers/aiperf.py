"""AIPerf 0.13 at its default export level, `records`: start, TTFT and every gap between chunks of each request.

Its x_request_id is the X-Request-ID header that the server saw. The chunk that holds the usage is not in its gaps.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.engines.environment import EnvironmentConfig
from loadgen_peers import PROMPT_TOKENS, Job, Reported, from_wall_ns


class AIPerf:
    title = "AIPerf 0.13.0"
    environment = EnvironmentConfig(name="aiperf-0.13.0", install=["aiperf==0.13.0"])

    def command(self, python: Path, job: Job) -> list[str]:
        options = {
            "--model": job.model,
            "--url": job.base_url,
            "--endpoint-type": "completions",
            "--tokenizer": job.tokenizer,
            "--concurrency": job.streams,
            "--request-count": job.requests,
            "--isl": PROMPT_TOKENS,
            "--isl-stddev": 0,
            "--osl": job.tokens,
            "--osl-stddev": 0,
            "--random-seed": 1,
            "--ui": "none",
            "--artifact-dir": job.folder / "artifacts",
        }
        flags = ["--streaming", "--use-server-token-count", "--no-server-metrics", "--no-gpu-telemetry"]
        extra = ["--extra-inputs", "ignore_eos:true", "--extra-inputs", f"min_tokens:{job.tokens}"]
        program = [str(python), "-m", "aiperf", "profile"]
        return [*program, *(str(part) for pair in options.items() for part in pair), *flags, *extra]

    def reported(self, job: Job) -> Iterator[Reported]:
        with (job.folder / "artifacts" / "profile_export.jsonl").open() as file:
            for line in file:
                record = json.loads(line)
                metrics, about = record["metrics"], record["metadata"]
                if "inter_chunk_latency" not in metrics:  # failed or cancelled
                    continue
                first_ns = from_wall_ns(about["request_start_ns"]) + metrics["time_to_first_token"]["value"] * 1e6
                gaps_ns = np.asarray(metrics["inter_chunk_latency"]["value"]) * 1e6
                at_ns = first_ns + np.concatenate([[0.0], np.cumsum(gaps_ns)])
                yield Reported(about["x_request_id"], np.arange(len(at_ns)), at_ns)
