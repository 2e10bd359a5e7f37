"""The shape (shapes.py) in which a class is stored, by the types of its fields."""

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from harness.records.fields import Stored, parts_of
from harness.records.shapes import NUMBER, Maybe, Shape

PLAIN: Mapping[Any, Shape] = {str: str, int: int, bool: bool, float: NUMBER}


def shape_of(cls: type[Stored]) -> dict[Any, Shape]:
    """A field with a default may be absent or null; keys that no field has are not looked at."""
    shape: dict[Any, Shape] = {}
    for part in parts_of(cls):
        if part.inlined is not None:
            shape |= {f"{part.prefix}{name}": inner for name, inner in shape_of(part.inlined).items()}
        elif not part.rest:
            inner = _shape(part.hint)
            shape[part.name] = inner if part.required else Maybe(inner)
    return shape


def _shape(hint: Any) -> Shape:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        some = tuple(_shape(one) for one in args if one is not NoneType)
        inner = some[0] if len(some) == 1 else some
        return Maybe(inner) if NoneType in args else inner
    if origin in (tuple, Sequence):
        return [_shape(args[0])]
    if origin in (dict, Mapping):
        return {str: _shape(args[1])}
    if isinstance(hint, type) and issubclass(hint, Stored):
        return shape_of(hint)
    return PLAIN.get(hint, object)
