"""The record of a measured cell (record.json): written once, never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from harness.records.cell import Cell
from harness.records.engine_facts import EngineFacts
from harness.records.fields import Stored, optional
from harness.records.flag import Flag
from harness.records.host_facts import HostFacts
from harness.records.placement import Placement
from harness.records.result import OtherResult, Result, result_of
from harness.records.telemetry import Telemetry
from harness.records.usage import Cost, Usage


@dataclass(frozen=True)
class StoredFile(Stored):
    """A file beside a record: its rows or samples, and the digest of its bytes."""

    count: int
    blake3: str


@dataclass(frozen=True, kw_only=True)
class Record(Stored):
    """A cell and what measuring it gave. The rows are beside it: an item or a request each."""

    cell: Cell
    fingerprint: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)  # what was fingerprinted
    result: Result = OtherResult()
    flags: tuple[Flag, ...] = ()
    engine: EngineFacts = EngineFacts()  # what served it and what its log names
    usage: Usage | None = optional()  # requests and tokens that the server answered and counted
    cost: Cost | None = optional()  # of its tokens, where they have a price
    host: HostFacts = HostFacts()
    started_at: str = ""  # ISO 8601, UTC
    duration_s: float | None = None
    harness: str = ""  # version
    telemetry: Telemetry | None = optional()  # of the server's GPUs, where NVML told of them
    placement: Placement | None = optional()  # None: alone, in the process that wrote the store
    files: Mapping[str, StoredFile] = field(default_factory=dict)  # beside it, by name
    schema: int | None = None  # as it was stored

    @property
    def invalid(self) -> tuple[Flag, ...]:
        """The flags for which its result must not be compared; empty for a valid one."""
        return tuple(flag for flag in self.flags if flag.invalid)

    def to_json(self) -> dict[str, Any]:
        """Return what is stored; the store adds the schema, `files` and the digest."""
        return {name: value for name, value in super().to_json().items() if name not in _BY_STORE}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read a record that record_check.py finds no fault in; older ones lack fields."""
        result = result_of(stored["cell"].get("kind") or "", stored.get("result") or {})
        return replace(super().from_json({**stored, "result": None}), result=result)


_BY_STORE = ("files", "schema")
