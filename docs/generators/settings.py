"""The page of all settings: key, type, default and meaning, from the schema's dataclasses."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import MISSING as REQUIRED

from docs.generators.comments import field_comments
from docs.generators.markdown import table
from harness.accuracy import SUITES, suite_class
from harness.config.schema import Config
from harness.engines import ENGINES, engine_class
from harness.engines.environment import EnvironmentConfig
from harness.executors import EXECUTORS, executor_class
from harness.sweeps.composing.setting_types import is_optional, plain

HEAD = """\
# Settings

    harness +sweep=NAME KEY=VALUE ...

Every setting of a sweep, from the schema. Set it on the command line or in `conf/sweep/NAME.yaml`; an unknown key or a
value of the wrong type is an error that names it. *required*: a sweep or a file of `conf/` sets it.
`harness +sweep=NAME --cfg job` prints the values that a sweep ends up with.
"""
COLUMNS = ("setting", "type", "default", "meaning")


def page() -> str:
    """Return Markdown with a section for the root, each block, each engine and each kind of suite."""
    parts: list[str] = [HEAD]
    shown: dict[type, str] = {}
    parts += _sections("", Config, "Sweep", shown)
    parts += _sections("compression.", EnvironmentConfig, "`compression`", shown)
    for kind in ENGINES:
        parts += _sections("engine.", engine_class(kind).Config, f"Engine `{kind}`", shown)
    for kind in EXECUTORS:
        parts += _sections("executor.", executor_class(kind).Config, f"Executor `{kind}`", shown)
    for kind in SUITES:
        parts += _sections("suites.NAME.", suite_class(kind).Config, f"Suite kind `{kind}`", shown)
    return "\n".join(parts)


def _sections(prefix: str, kind: type, title: str, shown: dict[type, str]) -> Iterator[str]:
    """Return the block's section, then those of the blocks in it; a block of a type in `shown` refers to that one."""
    if kind in shown:
        yield f"\n## {title}\n\nThe settings of [`{shown[kind]}`](#{_anchor(shown[kind])}).\n"
        return
    shown[kind] = prefix[:-1]
    hints, comments = get_type_hints(kind), _comments(kind)
    rows, blocks = [], []
    for entry in fields(kind):
        inner, placeholder = _block(hints[entry.name])
        key = f"{prefix}{entry.name}"
        if inner:
            blocks.append((f"{key}{placeholder}.", inner))
            said = comments.get(entry.name) or _document(inner).split(". ")[0].split(";")[0].rstrip(".")
            rows.append((f"`{key}`", "block", "", said))
        else:
            rows.append((f"`{key}`", _type_words(hints[entry.name]), _default(entry), comments.get(entry.name, "")))
    yield f"\n## {title}\n"
    if document := _document(kind):
        yield f"{document}\n"
    if rows:
        yield table(COLUMNS, rows)
    for inner_prefix, inner in blocks:
        yield from _sections(inner_prefix, inner, f"`{inner_prefix[:-1]}`", shown)


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", title.lower())


def _comments(kind: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if is_dataclass(each):
            found |= {name: text for name, text in field_comments(each).items() if text}
    return found


def _document(kind: type) -> str:
    text = inspect.cleandoc(kind.__doc__ or "")
    return "" if text.startswith(f"{kind.__name__}(") else text.split("\n\n")[0]


def _block(annotation: Any) -> tuple[type | None, str]:
    """(the dataclass that a setting holds, the placeholder of a key or an index in it), or (None, "")."""
    inner = plain(annotation)
    if isinstance(inner, type) and is_dataclass(inner):
        return inner, ""
    placeholder = {dict: ".NAME", list: ".N"}.get(get_origin(inner))
    held = get_args(inner)[-1] if placeholder else None
    return (held, placeholder or "") if isinstance(held, type) and is_dataclass(held) else (None, "")


def _type_words(annotation: Any) -> str:
    words = _name(plain(annotation))
    return f"{words} or null" if is_optional(annotation) else words


def _name(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        return f"list of {_name(arguments[0])}"
    if origin is dict:
        return f"{_name(arguments[0])} to {_name(arguments[1])}"
    if origin in (Union, UnionType):
        return " or ".join(map(_name, arguments))
    if kind in (Any, NoneType):
        return "any"
    return {str: "text", int: "integer", float: "number", bool: "true or false"}.get(kind, str(kind))


def _default(entry: Field) -> str:
    value = entry.default_factory() if entry.default_factory is not MISSING else entry.default
    if value is MISSING or value == REQUIRED:
        return "required"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"`{value}`" if value or value == 0 else "empty"
