"""Where secrets are known from: the environment, the command line and the composed configuration."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from harness.redaction.learning import learn, learn_pair
from harness.redaction.masking import (
    KEY_PREFIXES,
    MASK,
    NAMED,
    OPTION,
    QUERY_SECRET,
    is_secret_option,
    no_password,
    secret_name,
    user_is_secret,
)

_ANY_URL = re.compile(r"""([A-Za-z][A-Za-z0-9+.-]{0,31})(://[^\s"'<>]+)""")
_USERINFO = re.compile(r"://([^\s/?#]{0,4096})@|://([^\s/?#@:]{1,255}:(?!\d+(?:[/?#]|$))[^\s@]{0,1024})@")


def learn_url(text: str) -> None:
    """Learn the credentials of every URL in `text`: passwords, secret query parameters, and user names without a
    password where these are tokens."""
    for scheme, url in _ANY_URL.findall(text):
        if match := _USERINFO.match(url):
            user, colon, password = (match[1] or match[2] or "").partition(":")
            if MASK in (user, password) or no_password(scheme, match[1] or match[2] or ""):
                continue
            if colon:
                learn(password, unquote(password), certain=True)
                learn_pair(unquote(user), unquote(password))
            elif user_is_secret(scheme):
                learn(user, unquote(user))
        learn(*(unquote(value) for _, value in QUERY_SECRET.findall(url)))


def learn_environment(environ: Mapping[str, str] = os.environ) -> None:
    """Learn variables whose name or value says that it is a secret, and the credentials of URLs in any variable."""
    for name, value in environ.items():
        named = secret_name(name)
        if (named or value.strip().startswith(KEY_PREFIXES)) and not (value.startswith("/") and os.path.exists(value)):
            learn(value, certain=named)
        if "://" in value:
            learn_url(value)


def learn_config(value: Any, name: str = "", environ: Mapping[str, str] = os.environ) -> None:
    """Learn what a composed configuration holds: secret keys, URL credentials, options with a secret value, and the
    environment variables that `api_key_env` names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            learn_config(item, str(key), environ)
    elif isinstance(value, list | tuple):
        for before, item in zip(["", *value], value, strict=False):
            option = isinstance(before, str) and is_secret_option(before) and not str(item).startswith("-")
            learn_config(item, "password" if option else "", environ)
    elif isinstance(value, str):
        if secret_name(name):
            learn(value, certain=True)
        elif name == "api_key_env":
            learn(environ.get(value) if names_a_variable(value, environ) else value, certain=True)
        learn_url(value)
        for match in re.finditer(rf"(?<![\w-]){OPTION}=(\S+)", value):
            learn(match[1], certain=True)


def learn_command_line(words: Iterable[str], environ: Mapping[str, str] = os.environ) -> None:
    """Learn overrides as they were typed, before anything has parsed them."""
    for word in words:
        key, _, value = word.partition("=")
        learn_config(value, key.rpartition(".")[2].lstrip("+~"), environ)
        for match in NAMED.finditer(word):
            if secret_name(match[1]):
                learn(match[3], certain=True)


def names_a_variable(value: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Is this the name of an environment variable, or a key that was put where its name belongs?"""
    return value in environ or re.fullmatch(r"[A-Z][A-Z0-9]{0,18}(?:_[A-Z0-9]{1,19})*", value) is not None
