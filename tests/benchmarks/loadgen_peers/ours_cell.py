"""One cell of this harness's own client: python ours_cell.py FOLDER, which holds cell.json.

With `keep_tokens` the traces of run_schedule are read here, because a stored row does not have the id that the server
gave its request, which the comparison needs. Without, it is measure() as a sweep calls it, and the rows go to disk.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

RESPONSE_ID = re.compile(rb'"id":\s*"([^"]+)"')
PROMPT_TOKENS = 16
SEED = 1
REQUEST_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Cell:
    base_url: str
    model: str
    tokenizer: str
    requests: int
    tokens: int
    concurrency: int | None = None  # closed loop
    rate_rps: float | None = None  # open loop, Poisson; neither: all at once
    workers: int = 1
    keep_tokens: bool = True
    stall_s: float = 0.0  # the first worker is stopped for so long, half-way
    timeout_s: float = 170.0


def main(folder: Path) -> None:
    cell = Cell(**json.loads((folder / "cell.json").read_text()))
    found = _traces(cell, folder / "tokens.jsonl") if cell.keep_tokens else _measured(cell, folder / "rows.jsonl")
    (folder / "result.json").write_text(json.dumps(found))


def _plan(cell: Cell):
    from harness.config.workloads import LoadPoints, Scenario
    from harness.records.point import LoadPoint
    from harness.text.tokenizer import load_tokenizer

    scenario = Scenario(prompt_tokens=PROMPT_TOKENS, output_tokens=cell.tokens)
    load = LoadPoints(workers=cell.workers, request_timeout_s=REQUEST_TIMEOUT_S, cell_timeout_s=cell.timeout_s)
    profile = "server" if cell.rate_rps else "concurrency" if cell.concurrency else "throughput"
    point = LoadPoint(profile, cell.rate_rps, cell.requests, concurrency=cell.concurrency)
    return load_tokenizer(cell.tokenizer), scenario, point, load


def _traces(cell: Cell, tokens: Path) -> dict:
    """Metrics as measure() computes them; a line a request: its id, and its token times."""
    from harness.engines import Server
    from harness.loadgen.client.schedule import run_schedule
    from harness.loadgen.metrics import summarize
    from harness.loadgen.profiles import read_slo
    from harness.loadgen.samples import sample
    from harness.loadgen.traffic.requests import Traffic, plan_requests

    tokenizer, scenario, point, load = _plan(cell)
    server = Server(cell.base_url, cell.model)
    requests = plan_requests(Traffic("bench", scenario, load, SEED), point, cell.model, tokenizer)
    limits = {"request_timeout_s": load.request_timeout_s, "cell_timeout_s": load.cell_timeout_s}
    schedule = run_schedule(server, requests, concurrency=cell.concurrency, workers=cell.workers, **limits)
    samples = []
    with schedule as recording, tokens.open("w") as file:
        for trace, asked in zip(recording.traces, recording.asked, strict=True):
            samples.append(one := sample(trace, asked))
            named = next((found for _, data in trace.chunks if (found := RESPONSE_ID.search(data))), None)
            line = {
                "request_id": named and named[1].decode(),
                "start_ns": recording.start_ns,
                "intended_s": one.intended_s,
                "sent_s": one.sent_s,
                "token_s": one.token_s.tolist(),
                "error": None if one.error is None else one.error.kind,
            }
            file.write(json.dumps(line) + "\n")
        client = recording.client
    facts = {"client_cpu_s": client.cpu_s, "client_cpu_share_max": client.cpu_share_max, "reads": client.reads}
    return summarize(samples, point=point, slo=read_slo("slo", scenario.slo)).to_json() | facts


def _measured(cell: Cell, rows: Path) -> dict:
    from harness.engines import Server
    from harness.loadgen.bench import Bench
    from harness.loadgen.measure import measure
    from harness.loadgen.traffic.requests import Traffic

    tokenizer, scenario, point, load = _plan(cell)
    progress = _stall(cell) if cell.stall_s else lambda done, total: None
    bench = Bench(Server(cell.base_url, cell.model), tokenizer, Traffic("bench", scenario, load, SEED))
    outcome = measure(bench, point, progress)
    with rows.open("w") as file:
        for row in outcome.rows:
            file.write(json.dumps(row) + "\n")
    return outcome.result.to_json() | {"flags": [asdict(flag) for flag in outcome.flags]}


def _stall(cell: Cell) -> Callable[[int, int], None]:
    """A progress callback that stops a worker process once. It runs in the parent, which measures nothing meanwhile."""
    left = [cell.stall_s]

    def progress(done: int, total: int) -> None:
        if left and done >= total / 2:
            from harness.engines.watchdog import descendants

            worker, *_ = descendants(os.getpid())
            os.kill(worker, signal.SIGSTOP)
            time.sleep(left.pop())
            os.kill(worker, signal.SIGCONT)

    return progress


if __name__ == "__main__":
    main(Path(sys.argv[1]))
