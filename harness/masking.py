"""Masks secrets in text that leaves the program: log lines, stored records, reports, MLflow, messages, child logs.

Two rules, both applied by `mask`:
- known values: keys, tokens and passwords of the environment, the command line and the configuration
  (known_secrets.py), in every encoding in which libraries repeat them, and the first part of one that was cut off;
- structure: URL credentials, Authorization headers, secret query parameters, options and NAME=VALUE pairs whose name
  says that they are secret, and the token formats of well-known providers.

The known values are shared by the process, as its environment is. Standard library only: the watchdog loads this file
alone to mask what a server prints.
"""

import base64
import functools
import html
import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
Masker = Callable[[str], str]

_WORDS = {"SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "APIKEY", "CREDENTIAL", "CREDENTIALS"}
_LAST = {"KEY", "PASS", "PWD", "PAT", "AUTH", "CREDS"}  # only at the end of a longer name: PWD is the current folder
_NO_SECRET = {"FILE", "PATH", "DIR", "ENV", "NAME", "SOCK", "PARALLELISM"}  # names of things, not their value
_LOWER = re.compile(
    r"(?:[\w-]*[_-])?(?:api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|password|passwd|secret|"
    r"(?:access|auth|bearer|refresh|session|hf)[_-]?token|authorization)",
    re.IGNORECASE,
)
OPTION = r"--?(?:[\w-]+-)?(?:api[-_]?key|password|passwd|secret(?:[-_]key)?|(?:hf|auth|access|bearer)[-_]token|token)"
_QUOTES = r"""(?:\\*["'])?"""
_VALUE = r"""[^\s"',;&}\]\\]+"""

_URL = re.compile(r"""(:(?:\\?/){2})(?:[^\s/?#"'<>\\]*@|[^\s/?#@:"'<>\\]+:(?!\d+(?:[/?#\s"']|$))[^\s"'<>@]*@)""")
_STRUCTURE: list[tuple[re.Pattern[str], str]] = [
    (
        re.compile(
            r"""(?i)([?&;](?:[\w.-]*(?:api[_-]?key|token|secret|signature|password|passwd|credential)|key|sig)=)"""
            r"""[^&#\s"'<>\\]+"""
        ),
        rf"\1{MASK}",
    ),
    (re.compile(rf"(?i)\b((?:proxy-)?authorization{_QUOTES}\s*[:=]\s*{_QUOTES})(?:(\w+\s+){_VALUE}|{_VALUE})"),
     rf"\1\2{MASK}"),
    (re.compile(rf"(?i)\b((?:x-)?(?:goog-)?api-key{_QUOTES}\s*:\s*{_QUOTES}|x-auth-token{_QUOTES}\s*:\s*{_QUOTES})"
                rf"{_VALUE}"), rf"\1{MASK}"),
    (re.compile(r"\b([Bb]earer|[Bb]asic)(\s+)(?=[^\s\"']*[\d=])[A-Za-z0-9._~+/=-]{8,}"), rf"\1\2{MASK}"),
    (re.compile(rf"""(?i)((?<![\w-]){OPTION}(?:[\s=,"'\\]+))(?!-)[^\s,"'\\\]]+"""), rf"\1{MASK}"),
    (re.compile(rf"(?<![\w-])({_LOWER.pattern}{_QUOTES}\s?[:=]\s?{_QUOTES}){_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(
            r"(?<![A-Za-z0-9_-])(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|nvapi-[\w-]{20,}|gsk_[A-Za-z0-9]{20,}|"
            r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|A[KS]IA[0-9A-Z]{16}|"
            r"xox[abp]-[\w-]{10,}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,})"
        ),
        MASK,
    ),
]  # fmt: skip
NAMED = re.compile(rf"(?<![\w])([A-Z][A-Z0-9_]{{2,}})({_QUOTES}\s?[:=]\s?{_QUOTES})({_VALUE})")


class _Known:
    """The values, each by its head: the text that is enough to recognise it, should its end be cut off."""

    def __init__(self) -> None:
        self.values: set[str] = set()
        self._by_head: dict[str, list[str]] = {}
        self._heads: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        if new := {value for value in values if len(value) >= 6} - self.values:
            self.values |= new
            self._by_head = {}
            for value in sorted(self.values, key=len, reverse=True):
                self._by_head.setdefault(_head(value), []).append(value)
            heads = sorted(self._by_head, key=len, reverse=True)
            self._heads = re.compile("|".join(map(re.escape, heads)))

    def mask(self, text: str) -> str:
        if self._heads is None:
            return text
        done, position = [], 0
        while match := self._heads.search(text, position):
            start = match.start()
            begun = (values for head, values in self._by_head.items() if text.startswith(head, start))
            longest = max(_agreement(value, text, start) for values in begun for value in values)
            done += [text[position:start], MASK]
            position = start + longest
        return "".join([*done, text[position:]]) if done else text


def _head(value: str) -> str:
    return value if len(value) < 16 else value[: max(8, len(value) // 2)]


def _agreement(value: str, text: str, start: int) -> int:
    if text.startswith(value, start):
        return len(value)
    return next((n for n, char in enumerate(value) if text[start + n : start + n + 1] != char), len(value))


_known = _Known()


def known_values() -> list[str]:
    """For the watchdog, which masks what a child prints."""
    return sorted(_known.values)


def learn_encoded(values: Iterable[str]) -> None:
    """Add what `known_values` of another process gave."""
    _known.add(values)


def learn(*secrets: str | None) -> None:
    """Mask these from now on, however they are encoded. Words and numbers that are too common are left out."""
    for secret in secrets:
        for part in {*(secret or "").splitlines(), *(secret or "").split(), (secret or "").strip()}:
            if _telling(part):
                _known.add(_encodings(part))


def learn_pair(user: str, password: str) -> None:
    """As HTTP basic authentication sends them."""
    _known.add(_base64(f"{user}:{password}"))


def secret_name(name: str) -> bool:
    """Does a variable or setting of this name hold a secret? HF_TOKEN, AWS_SECRET_ACCESS_KEY, password."""
    if not name.isupper():
        return _LOWER.fullmatch(name) is not None
    parts = name.split("_")
    if parts[-1] in _NO_SECRET or name == "GPG_KEY":  # a public key's fingerprint, in Python's container images
        return False
    if _WORDS & set(parts) or name.endswith(("CONNECTION_STRING", "ACCESS_KEY_ID")):
        return True
    return len(parts) > 1 and parts[-1] in _LAST


def is_secret_option(word: str) -> bool:
    """--api-key, and other options whose next argument is a secret."""
    return re.fullmatch(rf"(?i){OPTION}", word) is not None


def mask(text: str) -> str:
    text = mask_urls(mask_known(text))
    for pattern, instead in _STRUCTURE:
        text = pattern.sub(instead, text)
    return NAMED.sub(lambda m: f"{m[1]}{m[2]}{MASK}" if secret_name(m[1]) else m[0], text)


def mask_known(text: str) -> str:
    """Known values only: for answers of models, which may hold text that merely looks like a secret."""
    return _known.mask(text)


def mask_urls(text: str) -> str:
    """URL credentials only."""
    return _URL.sub(rf"\1{MASK}@", text)


def excerpt(text: str | bytes, length: int) -> str:
    """The beginning of something that a server said; masked first, so that no half of a secret is left at the end."""
    beginning = text[: length + 4096]
    return mask(beginning.decode("utf-8", "replace") if isinstance(beginning, bytes) else beginning)[:length]


def mask_data(value: Any, masker: Masker = mask) -> Any:
    """`masker` on every string of a JSON-able value; a value whose key or option says that it is secret is masked."""
    if isinstance(value, str):
        return masker(value)
    if isinstance(value, dict):
        return {_key(key): MASK if _is_secret(key, item) else mask_data(item, masker) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if all(isinstance(item, float | int) or item is None for item in value):
            return value
        before = ["", *value]
        return [
            MASK if isinstance(word, str) and is_secret_option(word) else mask_data(item, masker)
            for word, item in zip(before, value, strict=False)
        ]
    return value


def _key(key: Any) -> Any:
    return mask_urls(key) if isinstance(key, str) else key


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(value, str) and value != "" and isinstance(key, str) and secret_name(key)


def mask_row(row: dict[str, Any], text: str) -> dict[str, Any]:
    """A row of a record, `text` its JSON: what a model answered is kept unless it holds a known value."""
    if row.get("error"):
        row = {**row, "error": mask_data(row["error"])}
    return row if mask_known(text) == text else mask_data(row, mask_known)


def _telling(value: str) -> bool:
    """Masking `mlflow`, `true` or `8000` wherever they stand would spoil the text: URLs hide such passwords anyway."""
    if value.isdecimal():
        return len(value) >= 8
    return len(value) >= 12 or (len(value) >= 6 and not (value.isalpha() and value.islower()))


@functools.lru_cache(maxsize=512)
def _encodings(secret: str) -> frozenset[str]:
    """As JSON, Python, HTML and URLs write it, and in base64."""
    found = {secret, repr(secret)[1:-1], html.escape(secret), quote(secret), quote(secret, safe=""), quote_plus(secret)}
    for text in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        found |= {text, json.dumps(text)[1:-1], text.replace("/", r"\/")}
    found |= {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), text) for text in found}
    return frozenset(found) | _base64(secret)


def _base64(secret: str) -> frozenset[str]:
    data = secret.encode("utf-8", "surrogateescape")
    both = (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode())
    return frozenset(text for one in both for text in (one, one.rstrip("="), quote(one, safe="")))
