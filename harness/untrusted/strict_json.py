"""JSON of others: checkpoints, traces, data files. One reader, which raises ValueError with the place and no more.

Stricter than `json`: a key twice in one object, NaN, numbers beyond a double (1e999), integers of more digits than a
double has, nesting that would exhaust the stack, and text that is not UTF-8 are refused. A lone surrogate, which no
encoder takes, becomes U+FFFD.
"""

import json
import re
from pathlib import Path
from typing import Any

from harness.untrusted.jsonlines import decode, open_file

JsonObject = dict[str, Any]  # of others: what it holds is checked where it is used

MOST_BYTES = 256 << 20
DEEPEST = 100
MOST_DIGITS = 308  # model_max_length is 1000000000000000019884624838656 in many tokenizers
_ODD_NUMBER = re.compile(r"\d{100}|[eE]\+?\d\d|NaN|Infinity")  # where one may be, numbers are looked at one by one
_SURROGATE = re.compile(r"\\[uU][dD][89a-fA-F]|[\ud800-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|([{}])', re.DOTALL)


class JsonError(ValueError):
    """What is wrong, and where: `line` counts from 1 in the file."""

    def __init__(self, what: str, line: int | None = None, column: int | None = None):
        self.what, self.line, self.column = what, line, column
        where = f": line {line} column {column}" if line is not None else ""
        super().__init__(f"{what}{where}")


class _Refused(Exception):
    def __init__(self, what: str, token: str | None = None):
        super().__init__(what)
        self.what, self.token = what, token


def read(path: Path, infinity: bool = False) -> Any:
    """Return a file's value. Raises OSError, and ValueError (TextError, JsonError) for what is no JSON."""
    with open_file(path) as file:
        return parse(file.read(MOST_BYTES + 1), infinity=infinity)


def parse(text: str | bytes, line: int = 1, infinity: bool = False) -> Any:
    """Return the value. Raises ValueError: TextError or JsonError.

    `line`: the number of the first line; `infinity`: the constants Infinity and -Infinity are taken, which transformers
    writes into config.json.
    """
    if len(text) > MOST_BYTES:
        raise JsonError(f"more than {MOST_BYTES >> 20} MiB; this is no file of settings")
    if isinstance(text, bytes):
        text = decode(text, line=line)
    text = text.removeprefix("\ufeff")
    try:
        value = _decoder(infinity, bool(_ODD_NUMBER.search(text))).decode(text)
    except json.JSONDecodeError as error:
        what = "empty" if not text.strip() else error.msg
        raise JsonError(what, line + error.lineno - 1, error.colno) from None
    except _Refused as error:
        raise _placed(text, error, line) from None
    except RecursionError:
        raise JsonError("nested too deep") from None
    if _deeper(value, DEEPEST):
        raise JsonError(f"nested deeper than {DEEPEST} levels")
    return whole_characters(value) if _SURROGATE.search(text) else value


def parse_object(text: str | bytes, line: int = 1, infinity: bool = False) -> JsonObject:
    """Return the object. Raises ValueError, also for another value."""
    value = parse(text, line, infinity)
    if not isinstance(value, dict):
        raise JsonError("not an object", line, 1)
    return value


def _decoder(infinity: bool, odd_numbers: bool) -> json.JSONDecoder:
    def constant(name: str) -> float:
        if infinity and name != "NaN":
            return float(name)
        raise _Refused(f"{name} is not a number", name)

    if not odd_numbers:
        return json.JSONDecoder(object_pairs_hook=_object)
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=constant
    )  # fmt: skip


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("a key twice in one object")
    return found


def _float(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf"):
        raise _Refused(f"{text[:20]} is too large for a floating-point number", text)
    return value


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise _Refused(f"an integer of {len(text.lstrip('-'))} digits", text)
    return int(text)


def _placed(text: str, refused: _Refused, line: int) -> JsonError:
    """With the place of the number, or of the key that is there already."""
    what, at = refused.what, None
    if refused.token is not None:
        token = re.compile(rf'"(?:[^"\\]|\\.)*"|(?<![\w.+-]){re.escape(refused.token)}(?![\w.+-])', re.DOTALL)
        at = next((match.start() for match in token.finditer(text) if not match[0].startswith('"')), None)
    elif found := _second_key(text):
        key, at = found
        what = f"the key {key[:60]!r} twice in one object"
    if at is None:
        return JsonError(what)
    return JsonError(what, line + text.count("\n", 0, at), at - text.rfind("\n", 0, at))


def _second_key(text: str) -> tuple[str, int] | None:
    objects: list[set[str]] = []
    for match in _TOKEN.finditer(text):
        if match[3] == "{":
            objects.append(set())
        elif match[3] and objects:
            objects.pop()
        elif match[2] and objects:
            key = json.loads(match[1], strict=False)
            if key in objects[-1]:
                return key, match.start()
            objects[-1].add(key)
    return None


def _deeper(value: Any, levels: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        inner = (child for one in level for child in (one.values() if isinstance(one, dict) else one))
        level = [child for child in inner if isinstance(child, dict | list)]
    return bool(level)


def whole_characters(value: Any) -> Any:
    """Return a JSON value with U+FFFD for each lone surrogate, which no file, socket or tokenizer takes."""
    if isinstance(value, str):
        return value if value.isascii() else _LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {whole_characters(key): whole_characters(item) for key, item in value.items()}
    return value
