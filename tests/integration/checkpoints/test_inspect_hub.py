"""Inspection over HTTP: a local server with range requests stands in for the hub (HF_ENDPOINT)."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import commands
from tests.unit.checkpoints import built

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    ranges: bool
    sent: dict[str, int]

    def do_GET(self) -> None:
        if re.fullmatch(r"/api/models/org/small(/revision/\w+)?(\?.*)?", self.path):
            entries = [{"rfilename": p.name, "size": p.stat().st_size} for p in self.root.iterdir()]
            return self._json({"id": "org/small", "sha": SHA, "siblings": entries})
        if match := re.fullmatch(rf"/org/small/resolve/{SHA}/([\w.-]+)", self.path):  # as the hub sends one to its CDN
            self.send_response(302)
            self.send_header("Location", f"/cdn/{match[1]}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if match := re.fullmatch(r"/cdn/([\w.-]+)", self.path):
            return self._file(match[1])
        return self._json({"error": "Repository not found"}, 404)

    def _file(self, name: str) -> None:
        data = (self.root / name).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked and self.ranges:
            data = data[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206 if asked and self.ranges else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
            self.sent[name] = self.sent.get(name, 0) + len(data)
        except OSError:
            pass  # the client has seen enough

    def _json(self, value: dict, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments) -> None:
        pass


@pytest.fixture
def hub(tmp_path):
    """(handler class, endpoint)"""
    handler = type("Served", (Hub,), {"root": tmp_path / "served", "ranges": True, "sent": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def inspect(endpoint: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "harness.inspect", *arguments]
    return commands.run(command, timeout=120, env=env)


def test_a_hub_checkpoint_is_inspected_by_ranges(hub, tmp_path):
    handler, endpoint = hub
    built.checkpoint(handler.root, "sparse_fp8_claimed", shards=2)
    done = inspect(endpoint, tmp_path, "org/small@main", "--variant", "sparse24_fp8", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["checkpoint"] == "org/small@main" and found["faults"] == []
    q_proj = next(entry for entry in found["layers"] if entry["type"] == "q_proj")
    assert q_proj["weights"] == "fp8 e4m3, per channel"
    assert q_proj["groups"] == q_proj["sparse_groups"] > 0
    size = sum(path.stat().st_size for path in handler.root.glob("*.safetensors"))
    assert not (tmp_path / "home" / "hub" / "models--org--small").exists(), "nothing is downloaded whole"
    assert 0 < sum(handler.sent.values()) < size


def test_a_doctored_hub_checkpoint_is_caught(hub, tmp_path):
    handler, endpoint = hub
    built.checkpoint(handler.root, "int8", built.tensors("int8"), built.config("fp8"))
    done = inspect(endpoint, tmp_path, "org/small")
    assert done.returncode == 1
    assert "int8 where config_groups.group_0 claims fp8 e4m3" in done.stdout


@pytest.mark.parametrize("trouble", ["no such repository", "no range requests", "no hub"])
def test_what_the_hub_does_not_give_is_said(trouble, hub, tmp_path):
    handler, endpoint = hub
    built.checkpoint(handler.root, "fp8")
    handler.ranges = trouble != "no range requests"
    name = "org/other" if trouble == "no such repository" else "org/small"
    done = inspect("http://127.0.0.1:9" if trouble == "no hub" else endpoint, tmp_path, name)
    assert done.returncode == 2
    said = {
        "no such repository": "does not exist on the hub",
        "no range requests": "range request",
        "no hub": "cannot be reached",
    }
    assert said[trouble] in done.stderr and "Traceback" not in done.stderr


def test_a_hub_checkpoint_is_compared_with_an_engine(hub, tmp_path):
    handler, endpoint = hub
    built.checkpoint(handler.root, "bf16")
    (handler.root / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')
    path = handler.root / "config.json"
    config = json.loads(path.read_text()) | {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}
    path.write_text(json.dumps(config))
    old = inspect(endpoint, tmp_path, "org/small@main", "--engine", "vllm==0.18.1")
    assert old.returncode == 1, old.stdout + old.stderr
    assert "error: tokenizer_config.json: tokenizer_class TokenizersBackend does not exist" in old.stdout
    assert "note: config.json" in old.stdout and "rope_theta: 500000.0" in old.stdout
    new = inspect(endpoint, tmp_path, "org/small", "--engine", "vllm==0.32.0", "--json")
    assert new.returncode == 0 and json.loads(new.stdout)["engine"]["says"] == "reads this checkpoint"
