"""A server of the OpenAI completions API that misbehaves as told: each request takes the next entry of a script."""

import itertools
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GAP_S = 0.003
HANG_S = 20.0
# What each fault does with one request; all others are answered in full.
FAULTS = {
    "503": "an error status",
    "429": "a rate limit with Retry-After",
    "error body": "status 200 and an error object",
    "error event": "an error in the middle of the stream",
    "reset": "the connection is reset in the middle",
    "reset at once": "the connection is reset before an answer",
    "cut": "the stream ends early and without [DONE]",
    "hang": "silence in the middle of the stream",
    "silent": "no answer at all",
    "no JSON": "an event that is not JSON",
    "not an object": "events that hold lists, numbers and strings where objects belong",
    "bytes": "an event that is not UTF-8",
    "slow": "fifty times slower",
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, script: list[str]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = itertools.chain(script, itertools.repeat("good"))
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def calm(self) -> None:
        """No more faults."""
        with self.lock:
            self.script = itertools.repeat("good")

    def next(self) -> str:
        with self.lock:
            return next(self.script)

    def handle_error(self, request, client_address) -> None:
        return None  # a client that went away


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments) -> None:
        return None

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            return self._json(200, {"data": [{"id": "tiny"}, {"id": "tiny-fp8"}]})
        return self._json(404, {"error": "not here"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault = self.server.next()
        if fault in ("503", "429"):
            return self._json(int(fault), {"error": "later"}, {"Retry-After": "1"})
        if fault == "error body":
            return self._json(200, {"error": {"message": "out of memory"}})
        if fault == "silent":
            time.sleep(HANG_S)
        if fault in ("silent", "reset at once"):
            return self._reset()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        tokens = body["max_tokens"]
        for token in range(tokens):
            time.sleep(GAP_S * (50 if fault == "slow" else 1))
            if token == tokens // 2:
                match fault:
                    case "reset":
                        return self._reset()
                    case "hang":
                        time.sleep(HANG_S)
                        return self._reset()
                    case "cut":
                        return self._end()
                    case "error event":
                        self._event(b'{"error": {"message": "the engine died"}}')
                        return self._end()
                    case "no JSON":
                        self._event(b'{"choices": [')
                    case "not an object":
                        for event in (b"[]", b"7", b'"x"', b'{"choices": 3}', b'{"choices": [], "usage": "no"}'):
                            self._event(event)
                    case "bytes":
                        self._event(b'{"choices": [{"text": "\xff"}]}')
            finish = "length" if token == tokens - 1 else None
            self._event(json.dumps({"choices": [{"index": 0, "text": "t", "finish_reason": finish}]}).encode())
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": tokens}
        self._event(json.dumps({"choices": [], "usage": usage}).encode())
        self._event(b"[DONE]")
        return self._end()

    def _json(self, status: int, body: dict, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _event(self, data: bytes) -> None:
        event = b"data: " + data + b"\n\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
