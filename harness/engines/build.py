"""Which build answers behind a URL: what a server says of itself, so that another build is another measurement.

    version     GET /version (vLLM, SGLang, TensorRT-LLM), /props (llama.cpp), /server_info (SGLang), /info (TGI)
    id, root    of its entry in /v1/models: the name that is served and the weights behind it
    created     of the same entry, where it does not change from one answer to the next; vLLM and SGLang send the time
                of the answer
    server      `owned_by` of the same entry, where it names an engine

A build that was seen once is remembered: a complete sweep is reported while its servers are down.
"""

import contextlib
import hashlib
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engines import Server
from harness.engines.credentials import without_credentials
from harness.engines.model_list import ServedModel, read_models
from harness.errors import EngineError, HarnessError
from harness.machine.disk import write_atomically
from harness.protocol.replies import BadReply, parse_json
from harness.protocol.urls import fetch
from harness.records.fields import Stored, optional
from harness.redaction.masking import mask

VERSION_ROUTES = (
    ("/version", "version"),
    ("/props", "build_info"),
    ("/server_info", "version"),
    ("/get_server_info", "version"),
    ("/info", "version"),
)
TIMEOUT_S = 5.0
BUSY = (429, 502, 503, 504)
ENDPOINTS = "endpoints"  # the folder of the cache that remembers builds
LONGEST = 200  # characters of a version
SERVERS = {"vllm": "vLLM", "sglang": "SGLang", "llamacpp": "llama.cpp", "harness": "simulated"}  # by owned_by
RECENT_S = 86400.0  # a clock may be so wrong: `created` within it may be the time of the answer
TICK_S = 1.1  # `created` counts seconds


@dataclass(frozen=True)
class Build(Stored):
    """What is known of a build, which is what goes into a fingerprint; None: the server does not tell."""

    version: str | None = optional()
    id: str | None = optional()
    root: str | None = optional()
    created: int | None = optional()
    server: str | None = optional()

    @property
    def tells_builds_apart(self) -> bool:
        return self.version is not None or self.created is not None

    @property
    def words(self) -> str | None:
        """Name the build for readers: ``vLLM 0.31.0``."""
        return " ".join(filter(None, (self.server, self.version))) or None


def read_build(server: Server) -> Build | None:
    """Ask a server; None where it does not answer all that it is asked: half of an identity would be another one.

    `server.model` may be empty where it serves one model.
    """
    try:
        entry = _entry(server)
        version = _version(server)
        created = _stable_created(server, entry.created) if entry else None
    except HarnessError:
        return None
    return _known(entry, version, created)


def _known(entry: ServedModel | None, version: str | None, created: int | None) -> Build:
    if entry is None:
        return Build(version=version)
    return Build(
        version=version,
        id=_text(entry.name),
        root=_text(entry.root),
        created=created,
        server=SERVERS.get(entry.owned_by.lower()) if entry.owned_by else None,
    )


def changed(server: Server, planned: Build | None) -> str | None:
    """Say that another build answers than was `planned`; a server that does not tell now is taken for it."""
    if planned is None:
        return None
    try:
        entry, version = _entry(server), _version(server)
    except HarnessError:
        return None
    now = _known(entry, version, entry.created if entry and planned.created is not None else None)
    if now == planned:
        return None
    return (
        f"{without_credentials(server.base_url)} serves another build than when the sweep was planned "
        f"({planned.words or 'unknown'}, now {now.words or 'unknown'}); run the command again"
    )


class Builds:
    """The builds behind servers, each asked once, so that plan and preflight agree. `folder`: where those that were
    seen are remembered."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._asked: dict[tuple[str, str, str | None], Build | None] = {}

    def now(self, server: Server) -> Build | None:
        """What the server says, the first time that it is asked; None where it does not answer."""
        key = (server.base_url, server.model, server.api_key_env)
        if key not in self._asked:
            self._asked[key] = found = read_build(server)
            if found:
                remember(self._folder, server, found)
        return self._asked[key]

    def identity(self, server: Server) -> Build | None:
        """The same, or what it said when it was last seen."""
        return self.now(server) or remembered(self._folder, server)


def remembered(folder: Path, server: Server) -> Build | None:
    """Return the build that was last seen there."""
    try:
        return Build.from_json(json.loads(_kept(folder, server).read_text()))
    except (OSError, ValueError, AttributeError):
        return None


def remember(folder: Path, server: Server, build: Build) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written
        kept = _kept(folder, server)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, json.dumps(build.to_json()))


def _kept(folder: Path, server: Server) -> Path:
    return folder / f"{hashlib.sha256(f'{server.base_url} {server.model}'.encode()).hexdigest()[:16]}.json"


def _entry(server: Server) -> ServedModel | None:
    """Return the served model's entry in /v1/models; None where it is not listed. Raises EngineError."""
    listed = read_models(server, TIMEOUT_S) or []
    if not server.model:
        return listed[0] if len(listed) == 1 else None
    return next((entry for entry in listed if entry.name == server.model), None)


def _version(server: Server) -> str | None:
    """Raises EngineError where it does not answer, or is too busy to."""
    for path, key in VERSION_ROUTES:
        try:
            said = parse_json(fetch(urllib.request.Request(server.base_url + path, headers=server.headers), TIMEOUT_S))
        except urllib.error.HTTPError as error:
            if error.code in BUSY:
                raise EngineError(f"{server.base_url}{path} answers HTTP {error.code}") from None
            continue
        except BadReply:
            continue
        except (OSError, ValueError) as error:
            raise EngineError(f"{server.base_url}{path} does not answer ({error})") from None
        if isinstance(said, dict) and (version := _text(said.get(key))):
            return version
    return None


def _stable_created(server: Server, created: int | None) -> int | None:
    """Return `created` where a second answer has it too. Raises EngineError."""
    if created is None:
        return None
    if abs(time.time() - created) < RECENT_S:
        time.sleep(TICK_S)
    again = _entry(server)
    return created if again and again.created == created else None


def _text(value: Any) -> str | None:
    """A text, secrets that a server repeats masked."""
    return mask(value.strip())[:LONGEST] if isinstance(value, str) and value.strip() else None
