"""Which requests go through a proxy, and what a redirect says."""

import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from harness.protocol.urls import (
    fetch,
    is_loopback,
    loopback_without_proxy,
    no_proxy_for_loopback,
    proxy_of,
    redirect_words,
)

PROXY = "http://proxy.invalid:3128"


@pytest.fixture
def proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", PROXY)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.invalid:3129")
    return monkeypatch


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.9.10", "127.1", "::1", "[::1]", "0.0.0.0", "::ffff:127.0.0.1")),
        *((host, True) for host in ("localhost", "LocalHost.", "engine.localhost")),
        *((host, False) for host in ("10.0.0.1", "128.0.0.1", "::2", "localhost.example.org", "127.example", "", None)),
    ],
)
def test_loopback(host, expected):
    assert is_loopback(host) is expected


def test_the_environment_decides_and_loopback_is_direct(proxies):
    assert proxy_of("http://api.example.org/v1") == PROXY
    assert proxy_of("https://api.example.org/v1") == "http://proxy.invalid:3129"
    assert proxy_of("http://127.0.0.1:8000") is proxy_of("https://localhost") is proxy_of("http://[::1]:80") is None
    proxies.setenv("no_proxy", "intern.example.org, other")
    assert proxy_of("http://gpu.intern.example.org:8000") is None
    assert proxy_of("http://api.example.org") == PROXY


def test_what_is_started_here_asks_loopback_directly(proxies):
    assert no_proxy_for_loopback({"PATH": "/bin", "no_proxy": "x"}) == {}, "no proxy, nothing to say"
    found = no_proxy_for_loopback({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.example, localhost"})
    assert found["no_proxy"] == found["NO_PROXY"] == "a.example,localhost,127.0.0.1,127.0.0.0/8,::1"
    proxies.setenv("NO_PROXY", "kept")
    import os

    before = dict(os.environ)
    with loopback_without_proxy():
        assert os.environ["no_proxy"].startswith("kept,localhost")
    assert dict(os.environ) == before


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        moved = {"/here": "/there", "/away": f"http://localhost:{self.server.server_port}/v1/models"}.get(self.path)
        self.send_response(307 if moved else 201 if self.path == "/odd" else 200)
        if moved:
            self.send_header("Location", moved)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


@pytest.fixture
def server():
    found = HTTPServer(("127.0.0.1", 0), Handler)
    found.asked = []
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def test_a_local_server_is_asked_although_a_proxy_is_set(proxies, server):
    proxies.setenv("http_proxy", "http://127.0.0.1:9")
    assert fetch(f"http://127.0.0.1:{server.server_port}/here", 5) == b"ok"
    assert [path for path, _ in server.asked] == ["/here", "/there"]


def test_a_redirect_to_another_server_is_not_followed(server):
    url = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(urllib.error.HTTPError) as raised:
        fetch(f"{url}/away", 5)
    assert raised.value.code == 307 and len(server.asked) == 1
    with pytest.raises(urllib.error.HTTPError):
        fetch(f"{url}/odd", 5)


def test_a_server_that_does_not_speak_http_is_an_os_error():
    import socket

    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        connection.close()

    threading.Thread(target=answer, daemon=True).start()
    with pytest.raises(OSError, match="not an HTTP answer"):
        fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/", 5)
    listener.close()


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://api.example.org/v1/completions", "set engine.base_url=https://api.example.org "),
        (
            "https://u:secret@api.example.org/x/v1/completions/?token=secret",
            "engine.base_url=https://api.example.org/x ",
        ),
        ("https://login.example.org/start", "redirects to https://login.example.org/start; check engine.base_url"),
        ("/v1/completions/", "redirects to /v1/completions/; check engine.base_url"),
        (None, "without a Location"),
    ],
)
def test_a_redirect_says_where_to_and_shows_no_secret(location, words):
    said = redirect_words(location, "/v1/completions")
    assert words in said and "secret" not in said
