"""What a session that runs elsewhere tells the process that writes the store."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.config.schema import Config
from harness.machine.host import Node
from harness.records.fields import Json
from harness.records.kept_probes import Kept, KeptProbe
from harness.records.phase import Phase, PhaseTime
from harness.records.record import Record
from harness.records.usage import SpentBeside


@dataclass(frozen=True)
class SessionWork:
    """The description of a session: all that measuring it takes, wherever that is.

    The other side prepares the sweep again and plans it, which must give the same fingerprints.
    """

    config: Config = field(repr=False)  # as asked for; its secrets travel in memory only
    session: str  # of the plan
    name: str  # of the session, or of the part of it
    root: str  # folder of the store, for logs
    wanted: tuple[str, ...]  # fingerprints of the cells to measure
    phases: tuple[Phase, ...]  # what it is expected to take
    records: dict[str, Record]  # stored ones that it has to know: invalid ones that are measured again
    earlier: dict[str, list[Record]]  # fingerprint -> earlier tries
    rows: dict[str, list[Json]] = field(repr=False)  # fingerprint -> answers that it judges
    probes: dict[str, list[Kept]] = field(default_factory=dict, repr=False)  # fingerprint -> of unfinished searches
    node: Node | None = field(default=None, repr=False)  # the machine that the plan is for; None: the planner's


@dataclass(frozen=True)
class Measured:
    record: Record
    rows: list[Json] = field(repr=False)
    samples: list[Json] | None = field(repr=False)  # of the GPUs


@dataclass(frozen=True)
class ProbeMeasured:
    fingerprint: str
    probe: KeptProbe
    rows: list[Json] = field(repr=False)


@dataclass(frozen=True)
class Failed:
    key: str
    error: str
    log: str | None


@dataclass(frozen=True)
class SpentNoted:
    taken: SpentBeside


@dataclass(frozen=True)
class PhaseNoted:
    taken: PhaseTime


@dataclass(frozen=True)
class Shown:
    """A call of the progress display."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Refused:
    """Why its remaining cells cannot be measured. `full`: no space is left, and the run ends."""

    error: str
    full: bool = False


def resumed(description: bytes, events: Sequence[Any]) -> bytes:
    """Return the description of what is left of a session that was interrupted after it had sent `events`."""
    work: SessionWork = pickle.loads(description)
    records, earlier = dict(work.records), {key: list(tries) for key, tries in work.earlier.items()}
    for event in events:
        if isinstance(event, Measured):
            record = event.record
            if record.fingerprint in records:
                earlier.setdefault(record.fingerprint, []).append(records[record.fingerprint])
            records[record.fingerprint] = record
    left = tuple(one for one in work.wanted if one not in records or records[one].invalid)
    return pickle.dumps(replace(work, wanted=left, records=records, earlier=earlier))
