"""How suites ask: proxies, redirects, and answers with status 200 that are none. Over real HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.accuracy import generation
from harness.accuracy.generation import request_many
from harness.engines import Server
from harness.errors import CellError

GOOD = {"error": None, "choices": [{"text": "yes", "finish_reason": "stop"}]}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        data = json.dumps(self.server.answers[min(len(self.server.asked), len(self.server.answers)) - 1]).encode()
        self.send_response(self.server.status)
        if self.server.status == 307:
            self.send_header("Location", "https://api.example.org/v1/completions")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(generation, "RETRIES", 1)
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.asked, found.answers, found.status, found.headers = [], [GOOD], 200, []
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def ask(server, host: str = "127.0.0.1", port: int | None = None):
    target = Server(f"http://{host}:{port or server.server_port}", "m")
    return request_many(target, "/v1/completions", [{"prompt": "x"}], concurrency=1)


def test_loopback_is_asked_directly_and_other_hosts_through_the_proxy(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert ask(server) == [GOOD]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask(server, "model.invalid", 80) == [GOOD], "the proxy was asked: the host has no address"
    assert server.asked[-1] == "http://model.invalid/v1/completions"


def test_a_redirect_is_not_followed_and_says_where_to(server):
    server.status = 307
    with pytest.raises(CellError, match=r"HTTP 307: redirects to .* set engine\.base_url=https://api\.example\.org "):
        ask(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"choices": [{"text": "half", "finish_reason": "abort"}]}, "finish_reason 'abort'"),
        ({"choices": [{"text": "half", "finish_reason": "timeout"}]}, "finish_reason 'timeout'"),
        ({"object": "error", "message": "out of memory", "code": 500}, "out of memory"),
        ({"detail": "worker lost"}, "worker lost"),
        ({"choices": [{"text": "", "error": {"code": 502}}]}, "error in its choice"),
    ],
)
def test_an_answer_that_failed_is_asked_again_and_then_an_error(server, answer, words):
    server.answers = [answer, GOOD]
    assert ask(server) == [GOOD]
    server.asked.clear()
    server.answers = [answer]
    with pytest.raises(CellError, match=words):
        ask(server)


@pytest.mark.parametrize("key", [None, "key"])
def test_a_netrc_entry_is_neither_sent_nor_in_the_way(key, server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine model.invalid login alice password secret\ndefault login a password b\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("MY_KEY", key or "")
    target = Server("http://model.invalid:80", "m", api_key_env="MY_KEY" if key else None)
    assert request_many(target, "/v1/completions", [{"prompt": "x"}], concurrency=1) == [GOOD]
    (sent,) = server.headers
    assert sent.get("Authorization") == (f"Bearer {key}" if key else None)
    assert sent["Proxy-Authorization"] == "Basic dXNlcjp3b3Jk", "the proxy's own credentials"


def test_an_answer_in_a_list_of_one_is_unwrapped(server):
    server.answers = [[GOOD]]
    assert ask(server) == [GOOD]
    server.answers = [[{"error": {"message": "no", "code": "insufficient_quota"}}]]
    with pytest.raises(CellError, match="top up the account"):
        ask(server)
