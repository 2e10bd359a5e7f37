"""HTTP requests outside the measured path: which of them go through a proxy, and what a redirect says.

A proxy is what the environment names (http_proxy, https_proxy, no_proxy), as for curl and pip, with one exception:
loopback is this machine, no proxy can reach it, and requests to it are always direct.
"""

import contextlib
import ipaddress
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

from harness.protocol.replies import shown as quoted
from harness.protocol.replies import words

LOOPBACK = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")  # as no_proxy lists it: not every library reads networks
REDIRECTS = (301, 302, 303, 307, 308)
MAX_BYTES, READ_BYTES = 16 << 20, 64 << 10


def is_loopback(host: str | None) -> bool:
    """Whether a URL's host is this machine: 127.0.0.0/8, ::1, 0.0.0.0, localhost."""
    name = (host or "").strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(name))  # the short forms, like 127.1
        except (OSError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address


def proxy_of(url: str) -> str | None:
    """The proxy that a request to this URL goes through."""
    parts = urlsplit(url)
    if is_loopback(parts.hostname) or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy or None


def no_proxy_for_loopback(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with which programs and libraries that we start ask loopback directly; {} where no proxy is set."""
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") and environ[name] for name in environ):
        return {}
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name for name in (part.strip() for part in listed.split(",")) if name]
    value = ",".join(dict.fromkeys([*names, *LOOPBACK]))
    return {"no_proxy": value, "NO_PROXY": value}


@contextlib.contextmanager
def loopback_without_proxy() -> Iterator[None]:
    """For libraries that read the environment of this process; it is put back afterwards."""
    settings = no_proxy_for_loopback(os.environ)
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to another path of the server only: a key is for the server that it was given for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            return None  # the answer then raises HTTPError, as any other that is not 200
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(request: urllib.request.Request | str, timeout_s: float, max_bytes: int = MAX_BYTES) -> bytes:
    """The body of a 200. Raises HTTPError for any other answer, and URLError or another OSError for none."""
    url = request if isinstance(request, str) else request.full_url
    proxies = urllib.request.ProxyHandler({} if is_loopback(urlsplit(url).hostname) else None)
    opener = urllib.request.build_opener(proxies, _SameServer())
    try:
        with opener.open(request, timeout=timeout_s) as response:
            if response.status != 200:
                raise urllib.error.HTTPError(url, response.status, response.reason, response.headers, None)
            return _body(response, timeout_s, max_bytes)
    except (HTTPException, ValueError) as error:  # ValueError: a Location or a length that is none
        raise urllib.error.URLError(f"not an HTTP answer: {error!r}") from None


def _body(response: Any, timeout_s: float, max_bytes: int) -> bytes:
    """The body, as far as it is no longer than `max_bytes`. Raises TimeoutError for one that never ends."""
    body, deadline = bytearray(), time.monotonic() + timeout_s
    while len(body) < max_bytes and (part := response.read1(min(READ_BYTES, max_bytes - len(body)))):
        body += part
        if time.monotonic() > deadline:
            raise TimeoutError(f"no end of the answer within {timeout_s:g} s")
    return bytes(body)


def redirect_words(location: str | None, path: str) -> str:
    """What an answer to `path` with a Location header says, and the setting that follows from it."""
    if not location:
        return "a redirect without a Location; check engine.base_url"
    try:
        parts = urlsplit(location)
    except ValueError:
        return f"redirects to {quoted(location)}, which is no URL; check engine.base_url"
    shown = words(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")), 200)
    base = shown.rstrip("/").removesuffix(path)
    if parts.netloc and base != shown.rstrip("/"):
        return f"redirects to {shown}; set engine.base_url={base} (judge.base_url, if this is the judge)"
    return f"redirects to {shown}; check engine.base_url"
