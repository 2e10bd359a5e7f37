"""API keys and URL credentials: read and checked in one place, and never repeated in a message."""

import base64
import os
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from harness.errors import ConfigError
from harness.redaction.known_secrets import learn_url, names_a_variable
from harness.redaction.learning import learn
from harness.redaction.masking import MASK, is_secret_option, mask_urls

_VISIBLE = re.compile(r"[!-~]+")  # what an Authorization header can carry (RFC 6750)


def read_key(name: str | None) -> str | None:
    """The key in the environment variable `name`, without the white space around it (a CR from a .env file).

    None when the variable is unset or blank. Raises ConfigError for a key that no HTTP header can carry.
    """
    key = (os.environ.get(name) or "").strip() if name else ""
    if not key:
        return None
    learn(key, certain=True)
    if not _VISIBLE.fullmatch(key):
        raise ConfigError(
            f"the environment variable {name} holds white space, control characters or characters beyond ASCII inside "
            "the key; set it to the key alone"
        )
    return key


def key_problems(setting: str, name: str | None, required: bool) -> list[str]:
    """What preflight says about a key; `setting` is api_key_env's name in the configuration."""
    if not name:
        return []
    if not names_a_variable(name):
        learn(name, certain=True)
        return [
            f"{setting} must be the name of an environment variable that holds the key, like OPENAI_API_KEY, and no "
            "variable of the given name is set; export one and give its name, not the key"
        ]
    try:
        key = read_key(name)
    except ConfigError as error:
        return [f"{setting}: {error}"]
    return (
        [f"{setting} names {name}, which is not set or blank; export {name} with the key"]
        if required and key is None
        else []
    )


def split_url(url: str) -> tuple[str, str | None]:
    """The URL without its credentials, and the Authorization header that they make.

    Raises ConfigError for credentials that a stored command had masked.
    """
    scheme, slashes, rest = url.partition("://")
    end = next((at for at, char in enumerate(rest) if char in "/?#"), len(rest))
    userinfo, at, host = rest[:end].rpartition("@")
    if not at:
        return url, None
    if MASK in userinfo:
        raise ConfigError(f"the credentials of {mask_urls(url)} are masked; put them back, or set api_key_env")
    learn_url(url)
    user, _, password = userinfo.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return f"{scheme}{slashes}{host}{rest[end:]}", f"Basic {base64.b64encode(pair).decode()}"


def without_credentials(url: str) -> str:
    """For a fingerprint: the same server with other credentials is the same server."""
    scheme, slashes, rest = url.partition("://")
    end = next((at for at, char in enumerate(rest) if char in "/?#"), len(rest))
    return f"{scheme}{slashes}{rest[:end].rpartition('@')[2]}{rest[end:]}"


def url_problems(setting: str, url: str | None) -> list[str]:
    """What preflight says about the address of a server."""
    if not url:
        return []
    learn_url(url)
    try:
        parts, port = urlsplit(without_credentials(url)), None
        port = parts.port
    except ValueError:  # its message repeats the text, which may be part of a password
        return [f"{setting} is not a URL with a numeric port; write it like http://127.0.0.1:8000, with reserved "
                "characters of a password percent-encoded"]  # fmt: skip
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or "@" in parts.path:
        return [f"{setting} is not an address of a server; write it like http://127.0.0.1:8000"]
    if parts.query or parts.fragment:
        return [f"{setting} has a query or fragment; give the address alone, and a key by api_key_env"]
    try:
        split_url(url)
    except ConfigError as error:
        return [f"{setting}: {error}"]
    return []


def argument_problems(setting: str, words: Iterable[str], instead: str) -> list[str]:
    """Secrets in the arguments of a program that the harness starts: every user of the machine can read these."""
    found = []
    for word in words:
        option = word.partition("=")[0]
        if is_secret_option(option):
            found.append(f"{setting} has {option}: the process list would show its value; {instead}")
        elif mask_urls(word) != word:
            found.append(f"{setting} has a URL with credentials, which the process list would show; {instead}")
    return list(dict.fromkeys(found))
