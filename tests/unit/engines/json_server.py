"""A server that answers each path with JSON."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Served(ThreadingHTTPServer):
    """Answers each path of `says` with JSON; a callable is asked at every request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.says, self.busy = {}, False
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Served

    def log_message(self, *_args) -> None:
        pass

    def do_GET(self) -> None:
        said = self.server.says.get(self.path)
        data = said if isinstance(said, bytes) else json.dumps(said() if callable(said) else said).encode()
        busy = self.server.busy and self.path == "/version"
        self.send_response(503 if busy else 404 if said is None else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
