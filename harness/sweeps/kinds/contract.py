"""The contract of a kind of cell: its cells, how one is measured, and what measuring it takes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.engines import Server
from harness.records import Outcome
from harness.records.cell import Cell, PlannedCell
from harness.records.results import Results
from harness.sweeps.estimates.pace import Pace
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import Session

Tokens = tuple[float, float]  # of prompts and of answers


@dataclass(frozen=True)
class Bench:
    """What a cell is measured with."""

    prepared: Prepared
    server: Server
    store: Results
    cells: Mapping[str, Cell]  # of the plan, by key: a judge needs the answers of others
    tokenizer: Callable[[], Any]
    tokenizer_location: Callable[[], str]
    advance: Callable[[int, int], None]  # (done, total)
    say: Callable[[str], None]  # a line of progress
    confirm_build: Callable[[], None] = lambda: None  # raises EngineError where another build answers now


class CellKind(Protocol):
    session: str  # kind of the session that measures its cells: VARIANT | JUDGE | GEMM
    times: bool  # its result is a speed: what disturbs speed is a caution in it, and a note in another
    varies: bool  # an invalid result may be valid when it is measured again

    def plan(self, prepared: Prepared, session: Session, planned: Mapping[str, PlannedCell]) -> Iterator[PlannedCell]:
        """Yield the session's cells of this kind. `planned`: {key: cell} of earlier ones. Pure."""

    def seconds(self, cell: Cell, prepared: Prepared, pace: Pace, first: bool) -> float:
        """Return how long a cell takes by the rules of thumb, on a server of that pace.

        `first`: it is the first of its suite that is still to be measured.
        """

    def tokens(self, cell: Cell, prepared: Prepared) -> Tokens:
        """Estimate the tokens that the sweep's engine charges for, answers in full length."""

    def remark(self, cells: Sequence[Cell], prepared: Prepared) -> str | None:
        """Say in the plan what cells of this kind, all still to be measured, ask; None for nothing to say."""


class ServedKind(CellKind, Protocol):
    """Cells that are measured one by one on a running server."""

    def measure(self, cell: Cell, bench: Bench) -> Outcome:
        """Measure a cell on a running server. Raises HarnessError."""
