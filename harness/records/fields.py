"""Dataclasses to and from stored JSON: what a new field needs is its declaration."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

LATER, PREFIX, REST = "later", "prefix", "rest"  # metadata of a field
Json = dict[str, Any]  # an object as it is stored
Facts = Mapping[str, object]  # what decides a result: hashed and stored, and read by nobody
Read = Callable[[Any], Any]


def later(default: Any) -> Any:
    """Declare a field added after the first release of its class.

    It is stored only where it differs from its default: cells that do not use it keep their fingerprints and names.
    """
    return field(default=default, metadata={LATER: True})


def optional() -> Any:
    """Declare a field that is stored only where it is known: None is its default."""
    return later(None)


def inline(default: "Stored", prefix: str, later: bool = False) -> Any:
    """Declare a field whose own fields are stored beside the others, each with `prefix` before its name.

    `later`: it was added after the first release of its class, as of `later()`.
    """
    return field(default=default, metadata={PREFIX: prefix, LATER: True} if later else {PREFIX: prefix})


def rest() -> Any:
    """Declare a dict of every key that is stored and that no other field has."""
    return field(default_factory=dict, metadata={REST: True})


@dataclass(frozen=True)
class Stored:
    """A frozen dataclass that is stored as a JSON object with its fields as keys, nested ones as objects."""

    def to_json(self) -> dict[str, Any]:
        stored: dict[str, Any] = {}
        for part in parts_of(type(self)):
            value = getattr(self, part.name)
            if part.later and value == part.default:
                continue
            if part.prefix is not None:
                stored |= {part.prefix + name: one for name, one in value.to_json().items()}
            elif part.rest:
                stored |= value
            else:
                stored[part.name] = _stored(value)
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what is stored; an absent key, or null, is the field's default."""
        return cls._read(stored, "")

    @classmethod
    def _read(cls, stored: Mapping[str, Any], prefix: str) -> Self:
        known: dict[str, Any] = {}
        for part in parts_of(cls):
            if part.inlined is not None:
                known[part.name] = part.inlined._read(stored, f"{prefix}{part.prefix}")
            elif part.rest:
                names = {one.name for one in parts_of(cls)}
                known[part.name] = {name: value for name, value in stored.items() if name not in names}
            elif (value := stored.get(prefix + part.name)) is not None:
                known[part.name] = part.read(value) if part.read else value
        return cls(**known)

    def later_fields(self) -> dict[str, Any]:
        """Return the fields declared with `later` that differ from their defaults."""
        parts = [part for part in parts_of(type(self)) if part.later]
        return {part.name: value for part in parts if (value := getattr(self, part.name)) != part.default}


@dataclass(frozen=True)
class Part:
    """A field of a stored class. `read`: what makes its value of the JSON value; None: that is the value."""

    name: str
    hint: Any  # its type
    required: bool  # it has no default
    read: Read | None
    later: bool
    rest: bool
    prefix: str | None
    inlined: type[Stored] | None
    default: Any


def parts_of(cls: type[Stored]) -> tuple[Part, ...]:
    """Return the fields of a stored class, in the order in which they are stored."""
    return _declared(cls)  # type: ignore[arg-type]  # mypy takes a dataclass's type for unhashable


@functools.cache
def _declared(cls: type[Stored]) -> tuple[Part, ...]:
    hints = get_type_hints(cls)
    return tuple(
        Part(
            name=one.name,
            hint=hints[one.name],
            required=one.default is MISSING and one.default_factory is MISSING,
            read=_reader(hints[one.name]),
            later=LATER in one.metadata,
            rest=REST in one.metadata,
            prefix=one.metadata.get(PREFIX),
            inlined=hints[one.name] if PREFIX in one.metadata else None,
            default=one.default,
        )
        for one in fields(cls)
    )


def _reader(hint: Any) -> Read | None:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return next((read for one in args if one is not NoneType and (read := _reader(one))), None)
    if origin in (tuple, Sequence):
        return _each(_reader(args[0]))
    if origin in (dict, Mapping):
        return _values(_reader(args[1]))
    return hint.from_json if isinstance(hint, type) and issubclass(hint, Stored) else None


def _each(read: Read | None) -> Read:
    return tuple if read is None else lambda values: tuple(map(read, values))


def _values(read: Read | None) -> Read | None:
    return None if read is None else lambda values: {name: read(value) for name, value in values.items()}


def _stored(value: Any) -> Any:
    if isinstance(value, Stored):
        return value.to_json()
    if isinstance(value, tuple | list) and value and isinstance(value[0], Stored):
        return [one.to_json() for one in value]
    if isinstance(value, dict):
        return {name: _stored(one) for name, one in value.items()}
    return value
