"""The simulated server as a process, asked by clients that are not ours: urllib, http.client, aiohttp, bare sockets."""

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import aiohttp
import pytest

from harness.engines import Deployment
from harness.engines.process import port_in_use
from harness.engines.simulated.engine import Simulated, SimulatedConfig
from harness.errors import EngineError

MODULE = "harness.engines.simulated.server"


@contextlib.contextmanager
def serving(*options: str):
    """The port of a server with these options."""
    command = [sys.executable, "-m", MODULE, "--port", "0", "--model", "m", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline().rpartition(":")[2])
        assert process.poll() is None, "it is still there"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()


@pytest.fixture(scope="module")
def port():
    with serving("--gap-ms", "2", "--ttft-ms", "5", "--max-model-len", "200000") as port:
        yield port


def post(port: int, body: object, path: str = "/v1/completions", headers: dict | None = None) -> dict:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers or {})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def refused(port: int, body: object, path: str = "/v1/completions") -> tuple[int, dict]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(port, body, path)
    with caught.value as response:
        return response.code, json.load(response)["error"]


def metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        lines = [line for line in response.read().decode().splitlines() if not line.startswith("#")]
    return {line.partition("{")[0].removeprefix("vllm:"): float(line.rpartition(" ")[2]) for line in lines}


def eventually(holds, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def test_an_answer_in_one_piece(port):
    answer = post(port, {"model": "m", "prompt": [1, 2, 3], "max_tokens": 12, "ignore_eos": True})
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 12, "total_tokens": 15}
    assert len(answer["choices"][0]["text"].split()) == 12
    chat = {"messages": [{"role": "user", "content": "hello"}], "max_completion_tokens": 5, "ignore_eos": True}
    answer = post(port, chat, "/v1/chat/completions")
    assert len(answer["choices"][0]["message"]["content"].split()) == 5


def test_aiohttp_reads_many_streams_on_kept_connections(port):
    body = {"prompt": [1] * 50, "max_tokens": 20, "ignore_eos": True, "stream": True}
    body["stream_options"] = {"include_usage": True}

    async def one(session) -> list[bytes]:
        async with session.post(f"http://127.0.0.1:{port}/v1/completions", json=body) as response:
            assert response.status == 200 and response.content_type == "text/event-stream"
            return [line[6:].strip() async for line in response.content if line.startswith(b"data: ")]

    async def all_of_them() -> list[list[bytes]]:
        connector = aiohttp.TCPConnector(limit=16)
        async with aiohttp.ClientSession(connector=connector) as session:
            return await asyncio.gather(*(one(session) for _ in range(64)))

    for events in asyncio.run(all_of_them()):
        assert events[-1] == b"[DONE]"
        *tokens, usage = map(json.loads, events[:-1])
        assert [bool(token["choices"][0]["text"]) for token in tokens] == [True] * 20
        assert usage["usage"]["completion_tokens"] == 20
        sent = [token["sent_ns"] for token in tokens]
        assert sent == sorted(sent)


def test_no_token_is_sent_before_its_time(port):
    body = {"prompt": [1], "max_tokens": 100, "ignore_eos": True, "stream": True}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        before_ns = time.monotonic_ns()
        connection.request("POST", "/v1/completions", json.dumps(body), {"X-Request-Id": 'mine "quoted"'})
        events = [line[6:] for line in connection.getresponse().read().split(b"\n\n") if line.startswith(b"data: {")]
        after_ns = time.monotonic_ns()
    tokens = [json.loads(event) for event in events]
    assert {token["id"] for token in tokens} == {'mine "quoted"'}, "the client's id stands in every chunk"
    assert len(tokens) == 100
    for number, token in enumerate(tokens):
        assert before_ns + 5_000_000 + number * 2_000_000 <= token["sent_ns"] <= after_ns


def test_one_connection_serves_one_request_after_another(port):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for path in ("/health", "/v1/models", "/version", "/nope", "/metrics"):
            connection.request("GET", path)
            response = connection.getresponse()
            assert (response.status == 404) == (path == "/nope")
            response.read()
        connection.request("POST", "/reset_prefix_cache")
        assert connection.getresponse().read() == b""
        connection.request("POST", "/v1/completions", b"{not json")
        response = connection.getresponse()
        assert response.status == 400 and json.loads(response.read())["error"]["code"] == 400
        stream = {"prompt": [1], "max_tokens": 3, "ignore_eos": True, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(stream), {"Connection": "close"})
        response = connection.getresponse()
        assert response.read().endswith(b"data: [DONE]\n\n") and response.will_close


def test_what_is_wrong_is_said_in_json(port):
    assert refused(port, b"[1, 2]")[1]["message"] == "the body must be a JSON object"
    assert refused(port, b"\xff\xfe")[0] == 400
    assert refused(port, b"[" * 100_000)[0] == 400
    code, error = refused(port, {"model": "other", "prompt": "x"})
    assert (code, error["type"]) == (404, "NotFoundError") and "`other`" in error["message"]
    assert "maximum context length is 200000" in refused(port, {"prompt": [1] * 200_000})[1]["message"]
    assert refused(port, {}, "/health")[0] == 405
    assert refused(port, {"messages": []}, "/v1/chat/completions")[0] == 400


def test_a_huge_prompt_in_many_pieces(port):
    body = json.dumps({"prompt": list(range(150_000)), "max_tokens": 2, "ignore_eos": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        data = head.encode() + body
        for start in range(0, len(data), 100_001):
            sock.sendall(data[start : start + 100_001])
        response = b"".join(iter(lambda: sock.recv(65536), b""))
    assert json.loads(response.partition(b"\r\n\r\n")[2])["usage"]["prompt_tokens"] == 150_000


def test_a_client_that_leaves_is_not_served_any_further(port):
    before = metrics(port)
    body = {"prompt": [1], "max_tokens": 100_000, "ignore_eos": True, "stream": True}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/v1/completions", json.dumps(body))
        assert connection.getresponse().read(1000)
        assert metrics(port)["num_requests_running"] == before["num_requests_running"] + 1
    assert eventually(lambda: metrics(port)["num_requests_running"] == before["num_requests_running"])
    after = metrics(port)["generation_tokens_total"]
    assert before["generation_tokens_total"] < after < before["generation_tokens_total"] + 100_000
    time.sleep(0.05)
    assert metrics(port)["generation_tokens_total"] == after, "and nothing is generated for it"


def test_a_client_that_does_not_read_holds_up_nobody(port):
    body = json.dumps({"prompt": [1], "max_tokens": 40_000, "ignore_eos": True, "stream": True}).encode()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        for _ in range(20):
            assert post(port, {"prompt": [1], "max_tokens": 3, "ignore_eos": True})["usage"]["completion_tokens"] == 3


def test_counters_are_vllms(port):
    before = metrics(port)
    post(port, {"prompt": [1, 2, 3], "max_tokens": 4, "ignore_eos": True})
    after = metrics(port)
    change = {name: after[name] - before[name] for name in after}
    assert change["prompt_tokens_total"] == change["prefix_cache_queries_total"] == 3
    assert change["generation_tokens_total"] == 4 and change["request_success_total"] == 1
    assert change["prefix_cache_hits_total"] == change["num_preemptions_total"] == 0
    assert {"num_requests_waiting", "kv_cache_usage_perc"} <= set(after)


def test_the_log_holds_when_tokens_were_due_and_when_they_were_sent(tmp_path):
    log = tmp_path / "sent.jsonl"
    body = {"prompt": [1, 2], "max_tokens": 50, "ignore_eos": True, "stream": True}
    with serving("--gap-ms", "3", "--ttft-ms", "10", "--sent-log", str(log)) as port:
        for name in ("a", "b"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"X-Request-Id": name}
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                response.read()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["request_id"], line["prompt_tokens"]) for line in lines] == [("a", 2), ("b", 2)]
    for line in lines:
        assert len(line["sent_ns"]) == len(line["due_ns"]) == 50
        assert [due - line["due_ns"][0] for due in line["due_ns"]] == pytest.approx([k * 3e6 for k in range(50)], abs=2)
        assert all(sent >= due for sent, due in zip(line["sent_ns"], line["due_ns"], strict=True)), "never early"


def test_a_roofline_answers_many_at_once_and_counts_them():
    with serving("--shape", "smollm2-135m", "--hardware", "h200", "--max-num-seqs", "4") as port:
        body = {"prompt": [1] * 100, "max_tokens": 400, "ignore_eos": True, "stream": True}
        data = json.dumps(body).encode()
        request = b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(10)]
            for sock in socks:
                sock.sendall(request)
            assert eventually(lambda: metrics(port)["num_requests_waiting"] > 0 or finished(port) == 10)
            assert metrics(port)["num_requests_running"] <= 4
            assert eventually(lambda: finished(port) == 10)
        assert metrics(port)["generation_tokens_total"] == 4000
        assert metrics(port)["kv_cache_usage_perc"] == 0


def finished(port: int) -> float:
    return metrics(port)["request_success_total"]


def test_the_engine_starts_it_and_leaves_nothing_behind(tmp_path):
    config = SimulatedConfig(schemes={"fp8": "fp8"}, shape="smollm2-135m", max_model_len=512)
    engine = Simulated(config, tmp_path)
    with engine.serve(Deployment("fp8", "some/model"), tmp_path / "log") as server:
        assert (server.model, server.facts.kind, server.facts.more["scheme"]) == ("fp8", "simulated", "FP8 W8A8")
        port = int(server.base_url.rpartition(":")[2])
        answer = post(port, {"model": "fp8", "prompt": [1], "max_tokens": 3, "ignore_eos": True})
        assert answer["model"] == "fp8"
        assert engine.reset_prefix_cache(server)
    assert not port_in_use(port)


def test_a_server_that_cannot_start_says_why(tmp_path):
    engine = Simulated(SimulatedConfig(shape="llama-9b"), tmp_path)
    why = r"(?s)variant a: the simulated engine died at start.*invalid choice: 'llama-9b'"
    with pytest.raises(EngineError, match=why), engine.serve(Deployment("a", "m"), tmp_path / "log"):
        pass
