"""A hub on loopback that knows which commit a revision is, asked by the real huggingface_hub; and no hub at all."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.checkpoints import hub
from harness.hub import commits as hub_commits

PATH = re.compile(r"/api/(models|datasets)/([^?]+?)(?:/revision/([^?]+))?(?:\?.*)?")


class SmallHub:
    """`asked` holds (kind, repository, revision) of each request for a commit."""

    def __init__(self):
        self.commits: dict[tuple[str, str, str], str] = {}
        self.refusals: dict[str, tuple[int, str]] = {}  # repository -> status and X-Error-Code
        self.asked: list[tuple[str, str, str]] = []

    def add(self, kind: str, repository: str, commit: str = "c" * 40, revision: str = "main") -> None:
        self.commits[kind, repository, revision] = commit

    def forget(self) -> None:
        """As in another process."""
        hub_commits.resolve.cache_clear()
        hub.offline_reason.cache_clear()

    def answer(self, path: str) -> tuple[int, str, dict]:
        found = PATH.fullmatch(path)
        if not found:
            return 200, "", {}
        kind, repository, revision = found[1], found[2], found[3] or "main"
        self.asked.append((kind, repository, revision))
        if repository in self.refusals:
            return *self.refusals[repository], {"error": "refused"}
        commit = self.commits.get((kind, repository, revision))
        if commit is None:
            known = any(entry[:2] == (kind, repository) for entry in self.commits)
            return 404, "RevisionNotFound" if known else "RepoNotFound", {"error": "not found"}
        return 200, "", {"id": repository, "sha": commit, "siblings": []}


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty local hub cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets-cache"))
    return tmp_path / "hub-cache"


@pytest.fixture
def small_hub(monkeypatch, hub_cache):
    from huggingface_hub import constants

    known = SmallHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, code, body = known.answer(self.path)
            data = json.dumps(body).encode()
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    known.forget()
    yield known
    server.shutdown()
    server.server_close()
    known.forget()


@pytest.fixture
def no_hub(monkeypatch, hub_cache, tmp_path):
    """Offline, with an empty cache. Gives a folder."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # which messages name
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub_commits.resolve.cache_clear()
    hub.offline_reason.cache_clear()
    yield tmp_path
    hub_commits.resolve.cache_clear()
    hub.offline_reason.cache_clear()
