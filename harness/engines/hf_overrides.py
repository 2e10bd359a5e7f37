"""vLLM's `--hf-overrides`: values that replace those of a checkpoint's config.json, merged with a user's own."""

import json
from collections.abc import Sequence
from typing import Any

from harness.errors import ConfigError
from harness.untrusted.strict_json import JsonObject

FLAG = "--hf-overrides"


def merge(args: Sequence[str], overrides: JsonObject) -> list[str]:
    """Return `args` with `overrides` in one `--hf-overrides`; where `args` set the same key, their value is kept.

    `args` may use vLLM's other spellings: `--hf-overrides={...}`, `--hf_overrides {...}`, `--hf-overrides.KEY VALUE`.
    Raises ConfigError for a value that is not a JSON object, because it cannot be merged.
    """
    if not overrides:
        return list(args)
    rest, own = _split([str(word) for word in args])
    return [*rest, FLAG, json.dumps(_deep(overrides, own), sort_keys=True)]


def _split(words: list[str]) -> tuple[list[str], JsonObject]:
    """(the other arguments, what they override). The last `--hf-overrides` counts, as in argparse; keys add to it."""
    rest: list[str] = []
    whole: JsonObject = {}
    keys: JsonObject = {}
    position = 0
    while position < len(words):
        name, equals, value = words[position].partition("=")
        flag, *path = name.split(".")
        position += 1
        if flag.replace("_", "-") != FLAG:
            rest.append(words[position - 1])
            continue
        if not equals:
            value = words[position] if position < len(words) else ""
            position += 1
        if path:
            keys = _deep(keys, _nested(path, value))
        else:
            whole = _object(value)
    return rest, _deep(whole, keys)


def _object(value: str) -> JsonObject:
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            f"engine arguments: {FLAG} {value!r} is not a JSON object, and the checkpoint needs overrides too; "
            f"write it like {FLAG} '{{\"rope_theta\": 500000}}'"
        )
    return found


def _nested(path: list[str], value: str) -> JsonObject:
    """`--hf-overrides.a.b 1` as {"a": {"b": 1}}; a value that is not JSON is a string, as vLLM reads it."""
    try:
        found: Any = json.loads(value)
    except ValueError:
        found = value
    for key in reversed(path):
        found = {key: found}
    return found


def _deep(under: JsonObject, over: JsonObject) -> JsonObject:
    """`under` updated by `over`, key by key within objects."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _deep(merged[key], value) if both else value
    return merged
