"""The plan: engine sessions, each an ordered list of cells. This is what `dry_run=true` prints."""

from dataclasses import dataclass, replace

from harness.records.cell import PlannedCell
from harness.sweeps.kinds import KINDS, measured_in
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import Session


@dataclass(frozen=True)
class Plan:
    sessions: tuple[Session, ...]

    @property
    def cells(self) -> list[PlannedCell]:
        return [cell for session in self.sessions for cell in session.cells]


def build_plan(prepared: Prepared) -> Plan:
    """Return the sessions with their cells; one without cells is left out.

    A pure function of `prepared`: it opens no file, socket or process.
    """
    sessions: list[Session] = []
    planned: dict[str, PlannedCell] = {}
    for session in prepared.sessions:
        kinds = (KINDS[name] for name in measured_in(session.kind))
        cells = tuple(cell for kind in kinds for cell in kind.plan(prepared, session, planned))
        planned |= {cell.key: cell for cell in cells}
        if cells:
            sessions.append(replace(session, cells=cells))
    return Plan(tuple(sessions))
