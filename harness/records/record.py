"""The record of a measured cell (record.json): written once, never changed."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

from harness.records.cell import Cell
from harness.records.flag import Flag


@dataclass(frozen=True, kw_only=True)
class Record:
    """A cell and what measuring it gave. The rows are beside it: an item or a request each."""

    cell: Cell
    fingerprint: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)  # what was fingerprinted
    result: dict[str, Any] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    engine: dict[str, Any] = field(default_factory=dict)  # facts: what served it and what its log names
    usage: dict[str, int] = field(default_factory=dict)  # requests and tokens that the server answered and counted
    cost: dict[str, Any] | None = None  # of its tokens, where they have a price
    host: dict[str, Any] = field(default_factory=dict)  # machine facts
    started_at: str = ""  # ISO 8601, UTC
    duration_s: float | None = None
    harness: str = ""  # version
    telemetry: dict[str, Any] = field(default_factory=dict)  # of the server's GPUs, where NVML told of them
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # beside it: {name: {"count", "blake3"}}
    schema: int | None = None  # as it was stored

    @property
    def invalid(self) -> tuple[Flag, ...]:
        """The flags for which its result must not be compared; empty for a valid one."""
        return tuple(flag for flag in self.flags if flag.invalid)

    def to_json(self) -> dict[str, Any]:
        """Return what is stored; the store adds the schema, `files` and the digest."""
        stored = {f.name: getattr(self, f.name) for f in fields(Record) if f.name not in _BY_STORE}
        stored |= {"cell": self.cell.to_json(), "flags": [flag.to_json() for flag in self.flags]}
        return {name: value for name, value in stored.items() if value or name not in _OPTIONAL}

    @classmethod
    def from_json(cls, stored: dict[str, Any], **more: Any) -> Self:
        """Read a record that record_check.py finds no fault in; older ones lack fields."""
        known = {f.name: stored[f.name] for f in fields(Record) if stored.get(f.name) is not None}
        known |= {"cell": Cell.from_json(stored["cell"]), "flags": tuple(map(Flag.from_json, known.get("flags", ())))}
        return cls(**known | more)


_BY_STORE = ("files", "schema")
_OPTIONAL = ("usage", "cost", "telemetry")
