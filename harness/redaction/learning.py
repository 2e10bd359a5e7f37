"""Values that are known to be secret, in every encoding in which libraries repeat them."""

import base64
import functools
import html
import json
import re
from urllib.parse import quote, quote_plus

from harness.redaction.masking import FLAGS, learn_encoded

_COMMON = FLAGS.union(  # placeholders and words that a password may be, and that a log is full of
    re.findall(
        r"\w+",
        "mlflow postgres postgresql mysql redis ollama openai vllm sglang harness model empty token pass passwd "
        "password test user admin root key apikey api_key secret default dummy fake example unused placeholder string "
        "local localhost http https auto bearer basic",
    )
)
_SCHEME = re.compile(r"(?i)(?:bearer|basic|token)\s+(?=\S+$)")  # of an Authorization header


def learn(*secrets: str | None, certain: bool = False) -> None:
    """Mask these from now on, in every encoding. Words and numbers that are too common are left out.

    `certain`: a value that is a secret beyond doubt, as a key that was read to be sent. Four characters are enough
    then, unless it is a placeholder; a value of less than eight is masked where it is a whole word.
    """
    for secret in secrets:
        whole = _SCHEME.sub("", (secret or "").strip(), count=1)
        if _telling(whole, certain):
            learn_encoded(_encodings(whole))
        parts = {*whole.splitlines(), *whole.split()} - {whole}
        for part in (part for part in parts if _part_of_secret(part)):
            learn_encoded(_encodings(part))


def learn_pair(user: str, password: str) -> None:
    """As HTTP basic authentication sends them."""
    learn_encoded(_base64(f"{user}:{password}"))


def _telling(value: str, certain: bool = False) -> bool:
    """Masking `mlflow`, `true` or `8000` wherever they occur would spoil the text: URLs hide such passwords anyway."""
    if value.lower() in _COMMON:
        return False
    if value.isdecimal():
        return len(value) >= (6 if certain else 8)
    if certain:
        return len(value) >= 4
    return len(value) >= 12 or (len(value) >= 6 and not (value.isalpha() and value.islower()))


def _part_of_secret(part: str) -> bool:
    """Return whether a word of a secret is one itself: not BEGIN and PRIVATE of a PEM file."""
    long = len(part) >= 16 or any(char.isdecimal() for char in part)
    return long and _telling(part) and not part.startswith("-----")


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
