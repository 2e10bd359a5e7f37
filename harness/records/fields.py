"""Dataclasses to and from stored JSON: what a new field needs is its declaration."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self

Json = dict[str, Any]  # an object as it is stored
LATER = "later"  # metadata of a field that older stores do not have


def later(default: Any) -> Any:
    """Declare a field added after the first release of its class.

    It is stored only where it differs from its default: cells that do not use it keep their fingerprints and names.
    """
    return field(default=default, metadata={LATER: True})


@dataclass(frozen=True)
class Stored:
    """A frozen dataclass that is stored as a JSON object with its fields as keys."""

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if not self._left_out(f)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what is stored; an absent key, or null, is the field's default."""
        known = {f.name: stored[f.name] for f in fields(cls) if stored.get(f.name) is not None}
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()})

    def later_fields(self) -> dict[str, Any]:
        """Return the fields declared with `later` that differ from their defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if LATER in f.metadata and not self._left_out(f)}

    def _left_out(self, declared: Field) -> bool:
        return LATER in declared.metadata and getattr(self, declared.name) == declared.default
