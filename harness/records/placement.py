"""Where a cell was measured, in records of sessions that ran side by side or on another machine."""

from dataclasses import dataclass

from harness.records.fields import Stored


@dataclass(frozen=True)
class Placement(Stored):
    """`neighbours`: sessions that ran on the same machine meanwhile."""

    host: str = ""
    gpus: tuple[str, ...] = ()  # UUIDs, or indices where none is known
    cores: tuple[int, ...] = ()  # CPUs that the session was bound to; empty: to none
    neighbours: tuple[str, ...] = ()
