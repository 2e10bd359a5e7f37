"""A server that speaks the hub's protocol on the loopback, for unmodified clients with HF_ENDPOINT set to it.

It answers what huggingface_hub, datasets and transformers ask: repository information, trees (in pages), paths,
references, access, files by HEAD and GET with ranges, small files through /api/resolve-cache, large ones through a
redirect to another origin (the CDN, which must never be sent a token), parquet listings, and the errors with the
headers that the clients tell them apart by. `faults` change single answers.

Run by hand: python -m tests.hub.server  (prints its address; HF_ENDPOINT=ADDRESS python -m harness ...)
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub.repositories import Repository

PAGE = 3  # entries of a tree's page: every client has to follow the next link
API = re.compile(
    r"/api/(model|dataset)s/([\w.-]+/[\w.-]+|[\w.-]+?)(?:/(revision|tree|paths-info|refs|auth-check|parquet)(?:/(.*))?)?"
)
RESOLVE = re.compile(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")
CACHED = re.compile(r"/api/resolve-cache/(model|dataset)s/([\w.-]+/[\w.-]+)/(\w{40})/(.+)")
RELEASE = re.compile(r"/[\w.-]+/[\w.-]+/releases/download/[^/]+/[\w.-]+")
ACCESS = "Access to {kind} {name} is restricted"


@dataclass
class Fault:
    """What happens to requests whose path matches: `times` of them (None: all)."""

    path: str  # regex, searched
    status: int | None = None  # answered instead
    headers: dict[str, str] = field(default_factory=dict)  # set on the answer, in place of its own
    cut: float | None = None  # share of the body that is sent before the connection closes
    data: bytes | None = None  # the body instead
    times: int | None = None
    seen: int = 0


@dataclass
class Asked:
    method: str
    path: str
    token: str | None
    range: str | None


@dataclass
class Hub:
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    releases: dict[str, bytes] = field(default_factory=dict)  # path -> file, as of GitHub's releases
    tokens: set[str] = field(default_factory=set)  # the valid ones
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cdn(self) -> str:
        return f"http://localhost:{self.port}/cdn"  # another origin, the same server

    def add(self, repository: Repository) -> Repository:
        self.repositories[repository.kind, repository.name] = repository
        return repository

    def fault(self, method_and_path: str) -> Fault | None:
        for fault in self.faults:
            if re.search(fault.path, method_and_path) and (fault.times is None or fault.seen < fault.times):
                fault.seen += 1
                return fault
        return None


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_arguments: Any) -> None:
        pass

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.form = self.rfile.read(size)
        parts = urlsplit(self.path)
        path, self.query = unquote(parts.path), {key: found[-1] for key, found in parse_qs(parts.query).items()}
        bearer = self.headers.get("Authorization", "")
        self.token = bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else None
        self.hub.asked.append(Asked(self.command, self.path, self.token, self.headers.get("Range")))
        self.broken = self.hub.fault(f"{self.command} {path}")
        if self.broken and self.broken.status:
            return self._error(self.broken.status, self.broken.headers.get("X-Error-Message", "not now"))
        if path.startswith("/cdn/"):
            return self._cdn(path)
        if self.token is not None and self.token not in self.hub.tokens:
            return self._error(401, "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            return self._json({"name": "tester", "type": "user", "auth": {}}) if self.token else self._error(401, "No")
        if found := CACHED.fullmatch(path):
            return self._file(*self._repository(*found.group(1, 2)), *found.group(3, 4), direct=True)
        if found := API.fullmatch(path):
            return self._api(*self._repository(*found.group(1, 2)), found[3], found[4] or "")
        if found := RESOLVE.fullmatch(path):
            kind = "dataset" if found[1] else "model"
            return self._file(*self._repository(kind, found[2]), *found.group(3, 4))
        if RELEASE.fullmatch(path) and path in self.hub.releases:
            return self._bytes(self.hub.releases[path], {})
        if path == "/":
            return self._bytes(b"hub", {})
        return self._error(404, "Not Found")

    def _repository(self, kind: str, name: str) -> tuple[Repository | None, str]:
        return self.hub.repositories.get((kind, name)), name

    def _allowed(self, repository: Repository | None, content: bool) -> bool:
        """Answer with the hub's error where it is none of: public, or a member's. A gated one's listing is public."""
        if repository is None:
            known = self.token is not None
            said = "Repository not found" if known else "Invalid username or password."
            self._error(404 if known else 401, said, "RepoNotFound" if known else None)
            return False
        if content and repository.gated and self.token not in repository.members:
            said = ACCESS.format(kind=repository.kind, name=repository.name)
            if self.token is None:
                said += ". You must have access to it and be authenticated to access it. Please log in."
                self._error(401, said, "GatedRepo")
            else:
                said += f" and you are not in the authorized list. Visit {self._page(repository)} to ask for access."
                self._error(403, said, "GatedRepo")
            return False
        return True

    def _page(self, repository: Repository) -> str:
        prefix = "datasets/" if repository.kind == "dataset" else ""
        return f"https://huggingface.co/{prefix}{repository.name}"

    def _api(self, repository: Repository | None, _name: str, what: str | None, rest: str) -> None:
        if not self._allowed(repository, content=what == "auth-check"):
            return None
        if what == "auth-check":
            return self._json({})
        if what == "refs":
            refs = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": s} for n, s in repository.refs.items()]
            return self._json({"branches": refs, "tags": [], "converts": []})
        if what == "parquet":
            return self._json(self._parquet(repository, "main"))
        revision, _, folder = rest.partition("/")
        if rest.startswith("refs/"):  # refs/convert/parquet, refs/pr/N: clients send their slashes escaped
            revision, folder = "/".join(rest.split("/")[:3]), "/".join(rest.split("/")[3:])
        sha = repository.resolve(revision or "main")
        if sha is None:
            return self._error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if what in (None, "revision"):
            return self._json(repository.info(sha, self.query.get("blobs") in ("true", "True", "1")))
        if what == "paths-info":
            asked = self._paths()
            return self._json(repository.paths(sha, asked))
        entries = repository.tree(sha, folder, self.query.get("recursive") in ("true", "True", "1"))
        if entries is None:
            return self._error(404, f"{folder} does not exist on {revision}", "EntryNotFound", commit=sha)
        start = int(self.query.get("cursor", 0))
        headers = {}
        if start + PAGE < len(entries):
            here = f"{self.hub.endpoint}{urlsplit(self.path).path}"
            query = "&".join(f"{k}={quote(v)}" for k, v in {**self.query, "cursor": str(start + PAGE)}.items())
            headers["Link"] = f'<{here}?{query}>; rel="next"'
        return self._json(entries[start : start + PAGE], headers)

    def _paths(self) -> list[str]:
        if "json" in self.headers.get("Content-Type", ""):
            return json.loads(self.form)["paths"]
        return parse_qs(self.form.decode())["paths"]

    def _parquet(self, repository: Repository, revision: str) -> dict[str, Any]:
        listed: dict[str, dict[str, list[str]]] = {}
        base = f"{self.hub.endpoint}/datasets/{repository.name}/resolve/{revision}"
        for path in repository.commits[repository.refs[revision]]:
            if path.endswith(".parquet"):
                folder, _, name = path.rpartition("/")
                listed.setdefault(folder, {}).setdefault(name.split("-")[0], []).append(f"{base}/{path}")
        return listed

    def _file(self, repository: Repository | None, _name: str, revision: str, path: str, direct: bool = False) -> None:
        if not self._allowed(repository, content=True):
            return None
        sha = repository.resolve(revision)
        if sha is None:
            return self._error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        file = repository.commits[sha].get(path)
        if file is None:
            return self._error(404, "Entry not found", "EntryNotFound", commit=sha)
        headers = {"ETag": f'"{file.etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if file.large:
            linked = {"X-Linked-Size": str(len(file.data)), "X-Linked-ETag": f'"{file.etag}"'}
            return self._redirect(302, f"{self.hub.cdn}/{file.sha256}", headers | linked)
        if not direct:
            kind = f"{repository.kind}s"
            return self._redirect(307, f"/api/resolve-cache/{kind}/{repository.name}/{sha}/{quote(path)}", headers)
        return self._bytes(file.data, headers)

    def _cdn(self, path: str) -> None:
        for repository in self.hub.repositories.values():
            for files in repository.commits.values():
                for file in files.values():
                    if file.large and path == f"/cdn/{file.sha256}":
                        return self._bytes(file.data, {"ETag": f'"{file.sha256}"', "Accept-Ranges": "bytes"})
        return self._error(404, "Not Found")

    def _redirect(self, status: int, location: str, headers: dict[str, str]) -> None:
        self._send(status, b"", {"Location": location, **headers})

    def _json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _error(self, status: int, message: str, code: str | None = None, commit: str | None = None) -> None:
        headers = {"X-Error-Message": message, "Content-Type": "application/json"}
        headers |= {"X-Error-Code": code} if code else {}
        headers |= {"X-Repo-Commit": commit} if commit else {}
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _bytes(self, data: bytes, headers: dict[str, str]) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self._send(200, data, headers)
        start, end = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
        if start >= len(data):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        headers = headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        return self._send(206, data[start : end + 1], headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        broken = self.broken or Fault("")
        body = body if broken.data is None or not body else broken.data
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), **broken.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if broken.cut is not None:
            body, self.close_connection = body[: int(len(body) * broken.cut)], True
        with contextlib.suppress(OSError):  # the client has seen enough
            self.wfile.write(body)


def main() -> None:
    from tests.hub.contents import default_hub

    with serving(default_hub()) as hub:
        print(f"HF_ENDPOINT={hub.endpoint}", flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
