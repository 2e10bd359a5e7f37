"""The page of summary.json, from its schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.generators.markdown import table
from harness.report import files

HEAD = """\
# summary.json

Every report has a `summary.json` for programs. Its schema is `harness/report/files/summary.schema.json`
(JSON Schema 2020-12); `schema` in the file is {schema} and goes up when a key changes its meaning or is removed.
{description}

"""


def page() -> str:
    """Return Markdown with one row for each key of the schema."""
    schema = json.loads(Path(files.__file__).with_name("summary.schema.json").read_text())
    head = HEAD.format(schema=schema["properties"]["schema"]["enum"][-1], description=_first_sentence(schema))
    return head + table(("key", "type", "meaning"), _rows("", schema, schema))


def _first_sentence(schema: dict[str, Any]) -> str:
    return schema["description"].split(" `schema`")[0]


def _rows(prefix: str, node: dict[str, Any], root: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    node = _resolved(node, root)
    for key, value in node.get("properties", {}).items():
        yield from _entry(f"{prefix}.{key}" if prefix else key, value, root)
    if isinstance(node.get("additionalProperties"), dict):
        yield from _entry(f"{prefix}.*" if prefix else "*", node["additionalProperties"], root)


def _entry(key: str, value: dict[str, Any], root: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    value = _resolved(value, root)
    yield f"`{key}`", _kind(value), value.get("description", "")
    if "items" in value:
        yield from _rows(f"{key}[]", value["items"], root)
    else:
        yield from _rows(key, value, root)


def _resolved(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = root
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return {**found, **{key: value for key, value in node.items() if key != "$ref"}}


def _kind(value: dict[str, Any]) -> str:
    kinds = value.get("type", [])
    if "anyOf" in value:
        kinds = [each.get("type", "object") for each in value["anyOf"]]
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)
