"""GET /v1/models, in the forms in which servers answer it.

- `{"data": [{"id": NAME}, ...]}`: OpenAI's; vLLM and SGLang add max_model_len
- `[{"id": NAME}, ...]`: Together
- `{"models": [{"name": NAME}, ...]}`, or names alone: gateways
- 404, 405, 410, 501: no such route, as some hosted APIs have none
"""

import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from harness.engines import Server
from harness.errors import EngineError
from harness.protocol.failures import stated_error
from harness.protocol.replies import BadReply, a_count, parse_json, shown
from harness.protocol.urls import REDIRECTS, fetch, redirect_words

PATH = "/v1/models"
TIMEOUT_S = 10.0
NO_ROUTE = (404, 405, 410, 501)
NAMES = ("id", "name", "model")  # keys of an entry, the first that it has


@dataclass(frozen=True)
class ServedModel:
    """An entry of the list. What the server does not say is None."""

    name: str
    max_model_len: int | None = None
    root: str | None = None  # the weights behind the name
    created: int | None = None
    owned_by: str | None = None


def list_models(server: Server) -> list[str] | None:
    """Names of the models that it serves; None where it does not say. Raises EngineError as read_models does."""
    entries = read_models(server)
    return None if entries is None else [entry.name for entry in entries]


def is_served(server: Server) -> bool:
    """Whether it answers, and lists its model or does not say."""
    try:
        names = list_models(server)
    except EngineError:
        return False
    return names is None or server.model in names


def read_models(server: Server, timeout_s: float = TIMEOUT_S) -> list[ServedModel] | None:
    """The entries of the list; None where it has no such route, or not the whole list.

    Raises EngineError when it does not answer like an OpenAI-compatible server.
    """
    url = server.base_url + PATH
    try:
        body = fetch(urllib.request.Request(url, headers=server.headers), timeout_s)
    except urllib.error.HTTPError as error:
        if error.code in NO_ROUTE:
            return None
        hint = _key_hint(server) if error.code in (401, 403) else ""
        if error.code in REDIRECTS:
            hint = f": {redirect_words(error.headers.get('Location'), PATH)}"
        raise EngineError(f"{url} answers HTTP {error.code}{hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise EngineError(f"{url} does not answer ({reason}); {_unreached_hint(reason)}") from None
    return parse_models(body, url)


def _key_hint(server: Server) -> str:
    if server.basic:
        return "; check the credentials in its URL"
    if server.api_key_env:
        return f"; check the key in the environment variable {server.api_key_env}"
    return "; set engine.api_key_env to the name of the environment variable that holds its key"


def _unreached_hint(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "export SSL_CERT_FILE with the authority that signed its certificate"
    if isinstance(reason, ssl.SSLError):
        return "does it speak TLS? write http:// in its URL if not"
    return "is the server up?"


def parse_models(body: bytes, url: str) -> list[ServedModel] | None:
    """The list in a 200's body. Raises EngineError."""
    try:
        return _parse(body, url)
    except EngineError:
        raise
    except Exception as error:  # the boundary: whatever a server sent is an error with words
        raise EngineError(f"{url} sent an answer that cannot be read ({error!r}): {shown(body)}") from None


def _parse(body: bytes, url: str) -> list[ServedModel] | None:
    try:
        said = parse_json(body)
    except BadReply:
        start = body.strip()[:60].decode("utf-8", "replace")
        what = "a web page" if start.startswith("<") else f"{start!r}" if start else "an empty body"
        raise EngineError(f"{url} answers {what}, not JSON; is engine.base_url an OpenAI-compatible API?") from None
    if isinstance(said, dict):
        if problem := stated_error(said):
            raise EngineError(f"{url} answers an error: {problem}")
        if any(said.get(key) for key in ("has_more", "next_page_token", "nextPageToken")):
            return None
        said = next((said[key] or [] for key in ("data", "models") if key in said), None)
    if not isinstance(said, list):
        return None
    entries = [entry for one in said if (entry := _entry(one)) is not None]
    return entries if len(entries) == len(said) else None


def _entry(one: Any) -> ServedModel | None:
    """None for one without a name."""
    if isinstance(one, str):
        return ServedModel(one)
    name = next((one[key] for key in NAMES if isinstance(one.get(key), str)), None) if isinstance(one, dict) else None
    if name is None:
        return None
    root, created, owner = one.get("root"), one.get("created"), one.get("owned_by")
    return ServedModel(
        name,
        _length(one.get("max_model_len")),
        root if isinstance(root, str) else None,
        created if type(created) is int else None,
        owner if isinstance(owner, str) else None,
    )


def _length(value: Any) -> int | None:
    try:
        return a_count(value, "max_model_len") or None
    except BadReply:
        return None
