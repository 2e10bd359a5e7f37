"""A server that fails in many ways and repeats the credentials of a request in each of them."""

import base64
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from tests.integration.leaks.canaries import CANARIES

TOKENS = 8


class LeakyServer(ThreadingHTTPServer):
    """http://HOST/WAY/v1/...: `WAY` says what happens to a completion; `accepted` counts the right credentials.

    After `welcome()`, each way's first completion is a good answer, and its list of models is good until then:
    preflight is passed, and the session meets the failure.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.accepted: dict[str, int] = {}
        self.answered_once: set[str] | None = None  # ways, after `welcome()`
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def welcome(self) -> None:
        self.answered_once = set()

    def url(self, way: str, userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.server_port}/{way}"

    def handle_error(self, *_args) -> None:
        """Resets are meant."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LeakyServer

    def log_message(self, *_args) -> None:
        pass

    @property
    def way(self) -> str:
        return self.path.split("/")[1]

    @property
    def is_welcome(self) -> bool:
        answered = self.server.answered_once
        return answered is not None and self.way not in answered

    @property
    def said(self) -> str:
        """The header, and what is in it: a server may decode it before it repeats it."""
        header = self.headers.get("Authorization", "")
        kind, _, value = header.partition(" ")
        return f"{header} ({base64.b64decode(value).decode() if kind == 'Basic' else value})"

    def authorized(self) -> bool:
        c = CANARIES
        pairs = [("alice", c.url_password), ("bob", c.target_password)]
        right = {f"Basic {base64.b64encode(f'{u}:{p}'.encode()).decode()}" for u, p in pairs}
        right |= {f"Bearer {c.key}", f"Bearer {c.judge_key}"}
        if self.headers.get("Authorization") not in right:
            return False
        self.server.accepted[self.way] = self.server.accepted.get(self.way, 0) + 1
        return True

    def answer(self, status: int, body, **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if not self.path.endswith("/v1/models"):
            return self.answer(404, self.said)
        if self.is_welcome:
            return self.answer(200, {"data": [{"id": "m"}]})
        if self.way == "models_401":
            return self.answer(401, {"error": self.said})
        if self.way == "models_garbage":
            return self.answer(200, f"<html>{self.said}")
        if self.way == "models_others":
            return self.answer(200, {"data": [{"id": self.said}, {"id": quote(self.said)}]})
        return self.answer(200, {"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.authorized():
            return self.answer(401, {"error": f"wrong credentials {self.said}"})
        if self.server.answered_once is not None and self.is_welcome:
            self.server.answered_once.add(self.way)
            return self.stream(body)
        return getattr(self, f"way_{self.way}", self.stream)(body)

    def way_s401(self, _body) -> None:
        self.answer(401, {"error": {"message": f"Incorrect API key provided: {self.said}"}})

    def way_s403(self, _body) -> None:
        self.answer(403, f"forbidden for {json.dumps(self.said)}")

    def way_s404(self, _body) -> None:
        self.answer(404, quote(self.said))

    def way_s429(self, _body) -> None:
        self.answer(429, {"error": f"quota of {self.said}"}, Retry_After="1")

    def way_s500(self, _body) -> None:
        self.answer(500, f"Traceback: headers={dict(self.headers)!r}")

    def way_cut(self, _body) -> None:
        """So that the usual length of an excerpt ends inside the secret."""
        value = self.headers["Authorization"].partition(" ")[2]
        self.answer(500, "x" * (300 - 2 * len(value) // 3) + value)

    def way_redirect(self, _body) -> None:
        self.answer(
            307, "", Location=f"http://alice:{quote(CANARIES.url_password, safe='')}@127.0.0.1:9/?token={self.said}"
        )

    def way_garbage(self, _body) -> None:
        self.wfile.write(f"SSH-2.0 {self.said}\r\n\r\n".encode())
        self.close_connection = True

    def way_reset(self, body) -> None:
        self.begin()
        self.event({"choices": [{"text": self.said, "finish_reason": None}]})
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def way_slow(self, body) -> None:
        self.begin()
        self.event({"choices": [{"text": self.said, "finish_reason": None}]})
        time.sleep(3)

    def way_bad_json(self, body) -> None:
        self.begin()
        self.wfile.write(f'data: {{"choices": [{{"text": "{self.said}\n\ndata: [DONE]\n\n'.encode())

    def way_error_event(self, body) -> None:
        self.begin()
        self.event({"error": {"message": f"upstream refused {self.said}"}})

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

    def event(self, event: dict) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def stream(self, body) -> None:
        """Good answers, whose text is the credentials."""
        count = min(TOKENS, body.get("max_tokens") or TOKENS)
        usage = {"prompt_tokens": len(body.get("prompt", "")), "completion_tokens": count}
        texts = [self.said] + [" t"] * (count - 1)
        if not body.get("stream"):
            choice = {"text": " ".join(texts), "message": {"role": "assistant", "content": "".join(texts)}}
            return self.answer(200, {"choices": [{**choice, "finish_reason": "stop"}], "usage": usage})
        self.begin()
        for text in texts:
            self.event({"choices": [{"text": text, "finish_reason": None}]})
            time.sleep(0.002)
        self.event({"choices": [{"text": "", "finish_reason": "length"}]})
        self.event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")
