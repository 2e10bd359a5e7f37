"""An endpoint that is a hosted API: strict about fields, asked too much, paid by the token. Over real HTTP."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.accuracy.generation import request_many
from harness.engines import Server
from harness.engines.limits import Limits
from harness.errors import CellError
from tests import commands

OPENAI_FIELDS = {"model", "prompt", "max_tokens", "temperature", "stream", "stream_options", "stop", "logprobs", "echo"}
ENDED_AFTER = 5  # tokens: its model ends its answers itself


class Hosted(ThreadingHTTPServer):
    """Refuses fields that OpenAI's completions do not have, and the first `too_many` requests with 429."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, too_many: int = 0, retry_after: str = "1"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.too_many, self.retry_after = too_many, retry_after
        self.answers: int | None = None  # how many requests are answered; others are refused
        self.restarts_after: int | None = None  # how many requests; another build answers from then on
        self.served: list[dict] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hosted

    def log_message(self, *_args) -> None:
        pass

    def answer(self, status: int, body: dict, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(data))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        after = self.server.restarts_after
        created = 1 if after is None or len(self.server.served) < after else 3
        self.answer(
            200, {"data": [{"id": "big", "created": created}, {"id": "small", "created": 2}]}
        ) if self.path == "/v1/models" else self.answer(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if unknown := sorted(set(body) - OPENAI_FIELDS):
            message = f"Unrecognized request arguments supplied: {', '.join(unknown)}"
            return self.answer(400, {"error": {"message": message, "type": "invalid_request_error"}})
        with self.server.lock:
            if self.server.too_many > 0:
                self.server.too_many -= 1
                return self.answer(429, {"error": {"message": "rate limit"}}, Retry_After=self.server.retry_after)
            if self.server.answers is not None and len(self.server.served) >= self.server.answers:
                return self.answer(400, {"error": {"message": "your account is empty"}})
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
            self.server.served.append(body)
        try:
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": min(ENDED_AFTER, body["max_tokens"])}
            if not body.get("stream"):
                time.sleep(0.02)
                return self.answer(200, {"choices": [{"text": "x", "finish_reason": "stop"}], "usage": usage})
            events = [{"choices": [{"text": " t", "finish_reason": None}]}] * usage["completion_tokens"]
            events += [{"choices": [{"text": "", "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for event in [*map(json.dumps, events), "[DONE]"]:
                self.wfile.write(f"data: {event}\n\n".encode())
                self.wfile.flush()
                time.sleep(0.002)
        finally:
            with self.server.lock:
                self.server.in_flight -= 1
        return None


@pytest.fixture
def hosted():
    server = Hosted()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server: Hosted, count: int, concurrency: int = 8, **limits) -> Server:
    target = Server(server.url, "big", limits=Limits(**limits))
    bodies = [{"prompt": [1, 2, 3], "max_tokens": 4} for _ in range(count)]
    assert len(request_many(target, "/v1/completions", bodies, concurrency=concurrency)) == count
    return target


def test_suites_wait_when_the_server_says_that_it_is_asked_too_much(hosted):
    hosted.too_many = 3
    began = time.monotonic()
    target = ask(hosted, 6)
    assert 1.0 <= time.monotonic() - began < 20, "those that were refused came again after Retry-After"
    assert len(hosted.served) == 6
    assert target.meter.lap().prompt_tokens == 18 and target.meter.completion_tokens == 24


def test_more_refusals_than_retries_are_no_failure(hosted):
    hosted.too_many, hosted.retry_after = 5, "0"
    ask(hosted, 1)


def test_a_server_that_never_lets_us_in_is_named(hosted, monkeypatch):
    monkeypatch.setattr("harness.accuracy.generation.PATIENCE_S", 1.5)
    hosted.too_many, hosted.retry_after = 10**6, "1"
    with pytest.raises(
        CellError, match=r"is rate-limiting the client \(HTTP 429.*lower concurrency=, or set engine.requests_per_m"
    ):
        ask(hosted, 1)


def test_requests_of_suites_keep_the_limits(hosted):
    began = time.monotonic()
    ask(hosted, 11, requests_per_minute=1200.0)
    assert time.monotonic() - began > 0.45, "ten gaps of 50 ms"


def sweep(hosted: Hosted, model, tmp_path, *more: str) -> subprocess.CompletedProcess:
    command = [
        *(sys.executable, "-m", "harness", "+sweep=quickstart", "engine=endpoint", f"engine.base_url={hosted.url}"),
        *("engine.model=big", "+engine.targets.w4a16={model: small}", f"model={model}", "name=hosted"),
        *("variant=[bf16,w4a16]", "suite=[]", "judge=null", "scenario=[rag_256_8]", "load.throughput_requests=0"),
        *("load.rates_rps=[20]", "load.duration_s=0.5", "load.min_requests=8", "load.warmup_requests=0"),
        *("load.repeats=1", "load.single_stream_requests=3"),
        *("engine.price.per_million_prompt_tokens=2", "engine.price.per_million_completion_tokens=8"),
        *("engine.price.date=2026-11-20", "engine.price.source=LIST", "mlflow.enabled=false", "progress=plain"),
        *("hardware.min_free_disk_gb=0.1", f"results_dir={tmp_path}/results", f"reports_dir={tmp_path}/reports", *more),
    ]
    return commands.run(command, timeout=120)


def records(tmp_path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in (tmp_path / "results/hosted/cells").glob("*/record.json")]
    return {record["cell"]["key"]: record for record in found}


def test_what_no_record_holds_was_spent_too(hosted, tiny_model, tmp_path):
    hosted.answers = 3  # of preflight and the warm-up; the cell is then refused
    settings = ("engine.dialect=openai", "variant=[bf16]", "load.warmup_requests=2", "load.rates_rps=[]")
    failed = sweep(hosted, tiny_model, tmp_path, *settings)
    assert failed.returncode == 1 and not records(tmp_path)
    _, preflight, warm_up = map(json.loads, (tmp_path / "results/hosted/spent.jsonl").read_text().splitlines())
    assert preflight["what"] == "bf16, preflight" and preflight["usage"]["requests"] == 1
    assert warm_up["what"] == "bf16, warm-up" and warm_up["usage"]["requests"] == 2
    paid = warm_up["cost"]["amount"]
    hosted.answers = None
    again = sweep(hosted, tiny_model, tmp_path, *settings, f"engine.max_cost={1.1 * paid}")
    assert f"engine.max_cost={1.1 * paid:g} USD; " in again.stdout and "are spent" in again.stdout
    assert (tmp_path / "results/hosted/spent.jsonl").read_text().count("warm-up") == 1, "nothing was warmed up for it"
    summary = json.loads((tmp_path / "reports/hosted/summary.json").read_text())
    assert [one["subject"] for one in summary["spending"]] == ["preflight, warm-ups and failed cells, of every run"]


def test_a_cell_in_which_the_server_was_restarted_with_another_build_fails_and_says_so(hosted, tiny_model, tmp_path):
    settings = ("engine.dialect=openai", "variant=[bf16]", "load.rates_rps=[]")
    hosted.restarts_after = 3  # preflight asks for one answer, the cell for three
    restarted = sweep(hosted, tiny_model, tmp_path, *settings)
    assert restarted.returncode == 1 and not records(tmp_path), "nobody knows which build answered what"
    assert "serves another build than when the sweep was planned" in restarted.stdout
    again = sweep(hosted, tiny_model, tmp_path, *settings)
    assert again.returncode == 0 and len(records(tmp_path)) == 1, again.stdout + again.stderr


def test_a_strict_api_is_told_from_the_first_cell_and_then_measured_and_paid(hosted, tiny_model, tmp_path):
    refused = sweep(hosted, tiny_model, tmp_path, "variant=[bf16]")
    assert refused.returncode == 2 and not records(tmp_path), "one request of preflight told"
    assert "it does not know min_tokens, ignore_eos: set engine.dialect=openai" in refused.stderr

    paid = 3 * (256 * 2 + 5 * 8) / 1e6  # three requests of 256 prompt tokens, answers of five
    most = 1.5 * paid + 2 * paid / 3  # preflight asks for an answer of each of the two
    stopped = sweep(hosted, tiny_model, tmp_path, "engine.dialect=openai", f"engine.max_cost={most}")
    assert stopped.returncode == 1, "the second cell of eight requests would exceed it"
    [key] = records(tmp_path)
    assert key == "bf16/rag_256_8/single_stream_r0"
    assert f"engine.max_cost={most:g} USD" in stopped.stdout

    whole = sweep(hosted, tiny_model, tmp_path, "engine.dialect=openai", "engine.max_cost=1")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert {record["cell"]["variant"] for record in records(tmp_path).values()} == {"bf16", "w4a16"}
    first = records(tmp_path)[key]
    assert first["usage"] == {"requests": 3, "prompt_tokens": 768, "completion_tokens": 15}
    assert first["cost"]["amount"] == pytest.approx(paid)
    [flag] = [flag for flag in first["flags"] if flag["code"] == "token_mismatch"]
    assert flag["level"] == "caution" and flag["message"].endswith("this server's models end their answers themselves")
    page = (tmp_path / "reports/hosted/index.html").read_text()
    assert "What the endpoint took" in page and "(LIST, 2026-11-20)" in page
    summary = json.loads((tmp_path / "reports/hosted/summary.json").read_text())
    assert {one["variant"] for one in summary["spending"]} == {"bf16", "w4a16", None}, "None: of preflight"
