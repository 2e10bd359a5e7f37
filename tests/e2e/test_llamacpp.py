"""llama.cpp's real server on a real GGUF file. It takes 8 minutes to build: where it is not built, all is skipped.

python -m harness +sweep=gguf        builds it, and measures
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.accuracy.generation import request_many
from harness.accuracy.lm_eval.logprobs import next_token_body, next_token_scores
from harness.checkpoints import gguf
from harness.checkpoints.prepare import Workshop
from harness.engines import Deployment, engine_class
from harness.engines.launched import ask_json
from harness.loadgen.server_metrics import scrape
from harness.sweeps.composing import compose

CONFIG = compose.compose_sweep(["+sweep=gguf", "engine.slots=2", "engine.max_model_len=512"])
CACHE = Path(CONFIG.cache_dir).expanduser()
ENGINE = engine_class("llamacpp")(CONFIG.engine, CACHE)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ENGINE.is_ready(), reason="llama.cpp is not built here; python -m harness +sweep=gguf does"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    log = tmp_path_factory.mktemp("logs") / "setup.log"
    dense = Workshop(CONFIG.compression, CACHE, log, print)
    return gguf.GgufWorkshop(dense, lambda: ENGINE.tool(gguf.TOOL), ENGINE.tools()).prepare(CONFIG.model, None).location


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    with ENGINE.serve(Deployment("smol", model), tmp_path_factory.mktemp("server") / "log") as running:
        yield running


def test_it_says_what_it_serves(server, model):
    assert gguf.holds(model) == "79 % of the weights in Q4_1, 21 % in Q8_0"
    assert server.facts.version and server.facts.max_model_len == 512
    slots = ask_json(server.base_url + "/slots")
    assert [slot["n_ctx"] for slot in slots] == [512, 512], "every slot has the context that was asked for"


def test_answers_have_the_length_that_was_asked(server):
    body = {"prompt": [504, 3575, 282, 4649, 314], "max_tokens": 40, "temperature": 0, "ignore_eos": True}
    [answer] = request_many(server, "/v1/completions", [body], concurrency=1)
    assert answer["usage"]["prompt_tokens"] == 5 and answer["usage"]["completion_tokens"] == 40
    assert answer["choices"][0]["finish_reason"] == "length"


def test_log_probabilities_of_given_tokens_are_the_same_however_many_are_asked_for(server):
    prompt, wanted = [504, 3575, 282, 4649, 314], [260, 253, 1, 49151]
    few, all_of_them = (
        request_many(server, "/v1/completions", [next_token_body(prompt, wanted, server.dialect, n)], concurrency=1)[0]
        for n in (400, 49152)
    )
    whole = next_token_scores(all_of_them, wanted)
    assert whole is not None and next_token_scores(few, wanted) is None, "an unlikely token is not among 400"
    some = next_token_scores(few, wanted[:2])
    assert [a for a, _ in some] == pytest.approx([a for a, _ in whole[:2]], abs=1e-4)


def test_the_prefix_cache_is_emptied(server):
    prompt = list(range(1000, 1200))

    def processed() -> float:
        before = scrape(server)["prompt_tokens"]
        request_many(server, "/v1/completions", [{"prompt": prompt, "max_tokens": 1}], concurrency=1)
        return scrape(server)["prompt_tokens"] - before

    assert ENGINE.reset_prefix_cache(server)
    assert processed() == 200
    assert processed() < 20, "the slot remembers"
    assert ENGINE.reset_prefix_cache(server)
    assert processed() == 200


def test_a_server_that_is_killed_is_named_and_started_once_more(tmp_path):
    command = [
        *(sys.executable, "-m", "harness", "+sweep=gguf", "variant=[gguf_q4_1]", "suite=[]", "name=killed"),
        *("load.rates_rps=[4]", "load.duration_s=5", "load.min_requests=20", "load.throughput_requests=4"),
        *("load.single_stream_requests=2", "mlflow.enabled=false", "progress=plain"),
    ]
    log = tmp_path / "results/killed/logs/gguf_q4_1.log"
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    deadline = time.monotonic() + 120
    cells = tmp_path / "results/killed/cells"
    while time.monotonic() < deadline and len(list(cells.glob("*/record.json"))) < 2:
        time.sleep(0.05)
    time.sleep(1.5)  # into the cell at a rate
    for pid in _servers(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait(200)
    reader.join(10)
    said = "".join(lines)
    assert process.returncode == 1 and "gguf_q4_1/chat_96_16/server_4rps_r0" in said, said
    assert log.read_text().count("\n$ ") >= 1
    records = [json.loads(path.read_text()) for path in cells.glob("*/record.json")]
    assert len(records) == 2, "what was measured before stays"


def _servers(parent: int) -> list[int]:
    """llama-server processes below `parent`."""
    found, waiting = [], [parent]
    while waiting:
        pid = waiting.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += [int(child) for child in task.read_text().split()]
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().startswith("llama-server"):
                found.append(pid)
    return found
