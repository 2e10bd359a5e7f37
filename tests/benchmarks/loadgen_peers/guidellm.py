"""GuideLLM 0.8.1. Of a request's tokens its JSON keeps the times of the first and the last only.

So its time-stamp error is over those two, and its "gap" is last minus first: one value a request, where the others
have one for every pair of neighbours. Its response_id is the id in the server's chunks.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.engines.environment import EnvironmentConfig
from loadgen_peers import PROMPT_TOKENS, Job, Reported, from_wall_ns


class GuideLLM:
    title = "GuideLLM 0.8.1"
    environment = EnvironmentConfig(name="guidellm-0.8.1", install=["guidellm==0.8.1"])

    def command(self, python: Path, job: Job) -> list[str]:
        options = {
            "--backend": f"kind=openai_http,target={job.base_url},model={job.model},request_format=/v1/completions",
            "--profile": f"kind=concurrent,streams={job.streams}",
            "--constraint": f"kind=max_requests,count={job.requests}",
            "--tokenizer": f"kind=huggingface_auto,model={job.tokenizer}",
            "--data": f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={job.tokens}",
            "--output": f"kind=json,path={job.folder / 'report.json'}",
        }
        program = [str(python), "-m", "guidellm", "run", "--disable-console"]
        return [*program, *(part for pair in options.items() for part in pair)]

    def reported(self, job: Job) -> Iterator[Reported]:
        report = json.loads((job.folder / "report.json").read_text())
        ends = np.array([0, job.tokens - 1])
        for request in report["benchmarks"][0]["requests"]["successful"]:
            timings = request["info"]["timings"]
            at_s = np.array([timings["first_token_iteration"], timings["last_token_iteration"]])
            yield Reported(request["response_id"], ends, from_wall_ns(at_s * 1e9))
