"""Masks secrets in text that leaves the program: log lines, stored records, reports, MLflow, messages, child logs.

Two rules, both applied by `mask`:
- known values: keys, tokens and passwords of the environment, the command line and the configuration
  (known_secrets.py), in every encoding in which libraries repeat them (learning.py), and the first part of one that
  was cut off;
- structure: URL credentials, Authorization headers, secret query parameters, options and NAME=VALUE pairs whose name
  says that they are secret, and the token formats of well-known providers.

The known values are shared by the process, as its environment is. Standard library only: the watchdog loads this file
alone to mask what a server prints.
"""

import re
from collections.abc import Callable, Collection, Iterable

MASK = "***"
Masker = Callable[[str], str]

_WORDS = {"SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "APIKEY", "CREDENTIAL", "CREDENTIALS"}
_LAST = {"KEY", "PASS", "PWD", "PAT", "AUTH", "CREDS"}  # only at the end of a longer name: PWD is the current folder
_NO_SECRET = {"FILE", "PATH", "DIR", "ENV", "NAME", "SOCK", "PARALLELISM"}  # names of things, not their value
_NO_SECRET_BEFORE = frozenset(  # the last word but one of PAD_TOKEN, SORT_KEY, PUBLIC_KEY
    re.findall(
        r"\w+",
        "PAD EOS BOS EOT EOD UNK SEP CLS MASK SPECIAL STOP START END FIRST LAST NEXT PREV PER MIN MAX NUM THINK "
        "REASONING IMAGE AUDIO VIDEO PROMPT DECODE DRAFT SORT GPU CPU CACHE DICT JSON HASH GROUP INDEX PRIMARY FOREIGN "
        "PARTITION PUBLIC",
    )
)
FLAGS = {"", "0", "1", "true", "false", "yes", "no", "on", "off", "none", "null"}  # never a secret

_LOWER = re.compile(
    r"(?:[\w-]*[_-])?(?:api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|password|passwd|secret|"
    r"(?:access|auth|bearer|refresh|session|hf)[_-]?token|authorization)",
    re.IGNORECASE,
)
OPTION = (
    r"--?(?:(?:[\w-]+[-_])?(?:api[-_]?key|password|passwd|secret(?:[-_]key)?|(?:hf|auth|access|bearer|api)[-_]token)"
    r"|token)"
)
_QUOTES = r"""(?:\\*["'])?"""
_NO_FLAG = rf"""(?!(?i:{"|".join(sorted(filter(None, FLAGS)))})(?:[\s"',;&}})>\]\\]|$))"""
_VALUE = rf"""{_NO_FLAG}[^\s"',;&}}\]\\]+"""

# The bounds keep a long line without an end of the credentials from taking quadratic time.
_URL = re.compile(
    r"""(?P<start>:(?:\\?/){2})"""
    r"""(?P<userinfo>[^\s/?#"'<>\\]*(?=@)|[^\s/?#@:"'<>\\]{1,255}:(?!\d+(?:[/?#\s"']|$))[^\s"'<>@]{0,1024}(?=@))@"""
)
_USER_IS_NAME = re.compile(r"(?i)(?:ssh|s?ftp|scp|rsync|abfss?|wasbs?|s3a?|gs|hf|docker|oci)$")
_USER_IS_SECRET = re.compile(  # by name, as a user's name that is learned is masked wherever it occurs
    r"(?i)(?:https?|wss?|"
    r"(?:postgres|postgresql|mysql|mariadb|mssql|oracle|mongodb|rediss?|clickhouse|snowflake|cockroachdb)(?:\+\w+)?)$"
)
QUERY_SECRET = re.compile(
    r"""(?i)([?&;](?:[\w.-]*(?:api[_-]?key|token|secret|signature|password|passwd|credential)|key|sig)=)"""
    rf"""({_NO_FLAG}[^&#\s"'<>\\]+)"""
)
_KEY_FORMATS = {  # of keys, by their providers: how each begins, and what follows
    "hf_": r"[A-Za-z0-9]{20,}",
    "sk-": r"[A-Za-z0-9_-]{20,}",
    "nvapi-": r"[\w-]{20,}",
    "gsk_": r"[A-Za-z0-9]{20,}",
    "xai-": r"[A-Za-z0-9]{20,}",
    **{f"gh{kind}_": r"[A-Za-z0-9]{20,}" for kind in "pousr"},
    "github_pat_": r"\w{20,}",
    "glpat-": r"[\w-]{20,}",
    "AKIA": r"[0-9A-Z]{16}",
    "ASIA": r"[0-9A-Z]{16}",
    **{f"xox{kind}-": r"[\w-]{10,}" for kind in "abp"},
    "AIza": r"[\w-]{30,}",
    "eyJ": r"[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}",
}
KEY_PREFIXES = tuple(_KEY_FORMATS)
NAMED = re.compile(rf"(?<![\w])([A-Z][A-Z0-9_]{{2,}})({_QUOTES}\s?[:=]\s?{_QUOTES})({_VALUE})")

_SECRET_WORDS = {"key", "token", "secret", "passw"}
# Each rule with hints, one of which is in every lower-cased text that the rule changes: most texts have none.
_RULES: list[tuple[set[str], re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    ({"@"}, _URL, lambda match: _mask_userinfo(match)),
    (_SECRET_WORDS | {"sig", "credential"}, QUERY_SECRET, rf"\1{MASK}"),
    (
        {"authorization"},
        re.compile(
            rf"(?i)\b((?:proxy-)?authorization{_QUOTES}\s*[:=]\s*{_QUOTES}){_NO_FLAG}(?:(\w+\s+){_VALUE}|{_VALUE})"
        ),
        rf"\1\2{MASK}",
    ),
    (
        {"api-key", "x-auth-token"},
        re.compile(
            rf"(?i)\b((?:x-)?(?:goog-)?api-key{_QUOTES}\s*:\s*{_QUOTES}|x-auth-token{_QUOTES}\s*:\s*{_QUOTES}){_VALUE}"
        ),
        rf"\1{MASK}",
    ),
    (
        {"bearer", "basic"},
        re.compile(r"\b([Bb]earer|[Bb]asic)(\s+)(?=[^\s\"']*[\d=])[A-Za-z0-9._~+/=-]{8,}"),
        rf"\1\2{MASK}",
    ),
    (
        _SECRET_WORDS,
        re.compile(rf"""(?i)((?<![\w-]){OPTION}(?:[\s=,"'\\]+))(?!-){_NO_FLAG}[^\s,"'\\\]]+"""),
        rf"\1{MASK}",
    ),
    (
        {"key", "passw", "secret", "access", "auth", "bearer", "refresh", "session", "hf"},
        re.compile(rf"(?<![\w-])({_LOWER.pattern}{_QUOTES}\s?[:=]\s?{_QUOTES}){_VALUE}", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (
        {prefix.lower() for prefix in KEY_PREFIXES},
        re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(map(''.join, _KEY_FORMATS.items()))})"),
        MASK,
    ),
    (
        _SECRET_WORDS | {"passphrase", "credential", "connection_string"} | {f"_{word.lower()}" for word in _LAST},
        NAMED,
        lambda match: f"{match[1]}{match[2]}{MASK}" if secret_name(match[1]) else match[0],
    ),
]
HINTS = sorted(set().union(*(hints for hints, _, _ in _RULES)))
_SHORT = 8  # a known value that is shorter is masked as a word only, not as a part of one
_WORD_BEGINS = r"(?:(?<!\w)|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"


class _Known:
    """The values, each by its head: the text that is enough to recognise it, should its end be cut off."""

    def __init__(self) -> None:
        self.values: set[str] = set()
        self._by_head: dict[str, list[str]] = {}
        self._heads: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        if new := {value for value in values if len(value) >= 4} - self.values:
            self.values |= new
            self._by_head = {}
            for value in sorted(self.values, key=len, reverse=True):
                self._by_head.setdefault(_head(value), []).append(value)
            heads = sorted(self._by_head, key=len, reverse=True)
            self._heads = re.compile("|".join(map(_pattern, heads)))

    def mask(self, text: str) -> str:
        if self._heads is None or not any(head in text for head in self._by_head):
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


def _pattern(head: str) -> str:
    return re.escape(head) if len(head) >= _SHORT else rf"{_WORD_BEGINS}{re.escape(head)}(?!\w)"


def _agreement(value: str, text: str, start: int) -> int:
    if text.startswith(value, start):
        return len(value)
    return next((n for n, char in enumerate(value) if text[start + n : start + n + 1] != char), len(value))


_known = _Known()


def known_values() -> list[str]:
    """For the watchdog, which masks what a child prints."""
    return sorted(_known.values)


def learn_encoded(values: Iterable[str]) -> None:
    """Mask these from now on: values in every encoding, from learning.py or `known_values` of another process."""
    _known.add(values)


def secret_name(name: str) -> bool:
    """Return whether a variable or setting of this name holds a secret: HF_TOKEN, AWS_SECRET_ACCESS_KEY, password."""
    if not name.isupper():
        return _LOWER.fullmatch(name) is not None
    parts = name.split("_")
    while len(parts) > 1 and parts[-1].isdecimal():  # OPENAI_API_KEY_2
        parts.pop()
    if parts[-1] in _NO_SECRET or name == "GPG_KEY":  # a public key's fingerprint, in Python's container images
        return False
    if _WORDS & set(parts) or name.endswith(("CONNECTION_STRING", "ACCESS_KEY_ID")):
        return True
    if parts[-1] != "TOKEN" and (len(parts) == 1 or parts[-1] not in _LAST):
        return False
    return len(parts) == 1 or parts[-2] not in _NO_SECRET_BEFORE


def is_secret_option(word: str) -> bool:
    """--api-key, and other options whose next argument is a secret."""
    return re.fullmatch(rf"(?i){OPTION}", word) is not None


def user_is_secret(scheme: str) -> bool:
    """Return whether a URL's user name without a password is a token for certain, as in https."""
    return _USER_IS_SECRET.search(scheme) is not None


def no_password(scheme: str, userinfo: str) -> bool:
    """Return whether a URL's part before the @ has no secret: git+ssh://git@host, abfss://container@account.

    `scheme`: it, and any text before it.
    """
    if ":" in userinfo:
        return "/" in userinfo and scheme.lower().endswith("ssh")  # git+ssh://host:path@tag
    return _USER_IS_NAME.search(scheme) is not None


def is_flag(value: str) -> bool:
    """Return whether a value is a switch such as 1, true or none, which is never a secret."""
    return value.lower() in FLAGS


def mask(text: str) -> str:
    text = mask_known(text)
    lower = text.lower()
    return mask_structure(text, {hint for hint in HINTS if hint in lower})


def mask_structure(text: str, hints: Collection[str]) -> str:
    """Mask what looks like a secret by the rules for those of HINTS that the text, in lower case, has."""
    if hints:
        for needs, pattern, instead in _RULES:
            if not needs.isdisjoint(hints):
                text = pattern.sub(instead, text)
    return text


def mask_known(text: str) -> str:
    """Known values only: for answers of models, which may hold text that merely looks like a secret."""
    return _known.mask(text)


def mask_urls(text: str) -> str:
    """URL credentials only."""
    return _URL.sub(_mask_userinfo, text) if "@" in text else text


def _mask_userinfo(match: re.Match[str]) -> str:
    scheme = match.string[max(0, match.start() - 32) : match.start()]
    return match[0] if no_password(scheme, match["userinfo"]) else f"{match['start']}{MASK}@"


def excerpt(text: str | bytes, length: int) -> str:
    """The beginning of something that a server said; masked first, so that no half of a secret is left at the end."""
    beginning = text[: length + 4096]
    return mask(beginning.decode("utf-8", "replace") if isinstance(beginning, bytes) else beginning)[:length]
