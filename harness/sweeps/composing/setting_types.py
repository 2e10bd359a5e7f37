"""The types that the schema has for a setting, by its dotted key on the command line."""

from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from harness.config.schema import Config


def types_of(key: str) -> list[Any]:
    """Annotations that the schema has for a dotted key: several where engines or suites differ, none if unknown."""
    parts = key.split(".")
    found: list[Any] = [Config]
    for depth, part in enumerate(parts):
        found = [annotation for parent in found for annotation in _below(parent, part)]
        if depth == 0 or (depth == 1 and parts[0] == "suites"):
            found += _chosen_by_kind(parts[0], depth)
    return found


def _chosen_by_kind(root: str, depth: int) -> list[type]:
    """The dataclasses of `engine`, `executor`, `compression` and each of `suites`, which the schema declares as Any."""
    from harness.accuracy import SUITES, suite_class
    from harness.engines import ENGINES, engine_class
    from harness.engines.environment import EnvironmentConfig
    from harness.executors import EXECUTORS, executor_class

    if (root, depth) == ("engine", 0):
        return [engine_class(kind).Config for kind in ENGINES]
    if (root, depth) == ("executor", 0):
        return [executor_class(kind).Config for kind in EXECUTORS]
    if (root, depth) == ("compression", 0):
        return [EnvironmentConfig]
    return [suite_class(kind).Config for kind in SUITES] if (root, depth) == ("suites", 1) else []


def _below(annotation: Any, part: str) -> list[Any]:
    kind = plain(annotation)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return [hints[part]] if part in hints else []
    if get_origin(kind) is dict:
        return [get_args(kind)[1]]
    if get_origin(kind) is list and part.isdecimal():
        return [get_args(kind)[0]]
    return []


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields; a class variable is no setting."""
    annotated = get_type_hints(kind)
    return {entry.name: annotated[entry.name] for entry in fields(kind)}


def plain(annotation: Any) -> Any:
    """Without `| None`."""
    if not is_optional(annotation):
        return annotation
    kept = [one for one in get_args(annotation) if one is not NoneType]
    return kept[0] if len(kept) == 1 else annotation


def is_optional(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)


def is_optional_block(annotation: Any) -> bool:
    kind = plain(annotation)
    return is_optional(annotation) and (is_dataclass(kind) or get_origin(kind) is dict)
