"""Python packages installed with uv, in a quarter of pip's time, under pip's settings.

    python -m harness.machine.packages ARGUMENTS...     # of `pip install`, for this interpreter

uv reads no pip.conf and no PIP_ variables, so they are handed to it as its own; and an extra index that cannot be
reached, which pip ignores, is left out. What the user has set for uv holds, and where this interpreter has no pip,
nothing else. Where uv is missing, knows no counterpart of a setting or fails, pip installs, and its message is the one
to read.
"""

import ast
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies

SECTIONS = ("global", "install", ":env:")  # of pip's settings; a later one goes first
EXTRA_INDEX, RETRIES = "--extra-index-url", "--retries"
AS_PIP = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # pip takes the best version of all indexes
REACH_S = 5.0

# pip's setting: uv's variable, and what separates its values. Variables, because a URL may hold a password, and
# arguments are for everyone to see.
COUNTERPARTS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "retries": ("UV_HTTP_RETRIES", " "),
}
WITHOUT_EFFECT = {  # on what is installed
    "disable-pip-version-check", "no-input", "quiet", "verbose", "no-color", "no-compile", "progress-bar", "log",
    "root-user-action", "no-python-version-warning", "cache-dir", "no-cache-dir", "require-virtualenv", "prefer-binary",
    "no-warn-script-location", "break-system-packages", "config-file",
}  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """A command that installs, and the variables that it needs."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)


def installing(python: str, arguments: Sequence[str]) -> list[Attempt]:
    """What to try in turn, so that the interpreter `python` has what `pip install ARGUMENTS` names."""
    return [*_by_uv(python, "install", arguments), *_by_pip(python, "install", ["--no-compile", *arguments])]


def removing(python: str, names: Sequence[str]) -> list[Attempt]:
    """What to try in turn, so that the interpreter `python` has none of these packages."""
    return [*_by_uv(python, "uninstall", names), *_by_pip(python, "uninstall", ["--yes", *names])]


def _by_pip(python: str, action: str, arguments: Sequence[str]) -> list[Attempt]:
    """pip of this interpreter, so that the other one needs none; nothing where only uv is here."""
    if pip_settings() is None and uv_program() is not None:
        return []
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--python", python]
    return [Attempt([*pip, action, *arguments])]


def _by_uv(python: str, action: str, arguments: Sequence[str]) -> list[Attempt]:
    uv = uv_program()
    settings = uv_settings(pip_settings(), os.environ) if uv else None
    if uv is None or settings is None:
        return []
    words, retries = _without(arguments, RETRIES)
    if retries:
        settings["UV_HTTP_RETRIES"] = retries[-1]
    words, indexes = _without(words, EXTRA_INDEX)
    reached = [word for url in indexes if is_reached(url) for word in (EXTRA_INDEX, url)]
    return [Attempt([uv, "pip", action, "--python", python, *reached, *words], settings)]


def is_reached(url: str) -> bool:
    """Whether the server of an index takes a connection; True behind a proxy, and for a file."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or getproxies().get(parts.scheme):
        return True
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), REACH_S).close()
    except (OSError, ValueError):
        return False
    return True


def _without(arguments: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """The arguments without an option, and its values."""
    left: list[str] = []
    values: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == option:
            values += [next(words, "")]
        elif word.startswith(option + "="):
            values += [word.partition("=")[2]]
        else:
            left.append(word)
    return left, values


def uv_program() -> str | None:
    """The program that the package uv brings, or the one on the PATH."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")


@lru_cache
def pip_settings() -> str | None:
    """What `pip config list` prints; None where this interpreter has no pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def uv_settings(listed: str | None, environ: Mapping[str, str]) -> dict[str, str] | None:
    """pip's settings, as `pip config list` prints them, as uv's variables; None where one has no counterpart. What the
    user has set for uv is left as it is."""
    if listed is None:
        return {}
    found = dict(AS_PIP)
    for name, value in _read(listed.splitlines()).items():
        if name in WITHOUT_EFFECT:
            continue
        if name not in COUNTERPARTS:
            return None
        variable, separator = COUNTERPARTS[name]
        found[variable] = separator.join(value.split())
    return {variable: value for variable, value in found.items() if variable not in environ}


def _read(lines: Iterable[str]) -> dict[str, str]:
    by_section: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in lines:
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in by_section and value:
            by_section[section][name] = str(ast.literal_eval(value))
    return {name: value for section in SECTIONS for name, value in by_section[section].items()}


def main() -> int:
    for attempt in installing(sys.executable, sys.argv[1:]):
        code = subprocess.run(attempt.command, env={**os.environ, **attempt.env}).returncode
        if code == 0:
            return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
