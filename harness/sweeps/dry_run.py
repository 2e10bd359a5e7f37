"""`dry_run=true`: the plan as a table. Nothing is started; nothing is written but digests of files in cache_dir."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.checkpoints import source
from harness.checkpoints.compatibility import repair_words
from harness.checkpoints.prepare import Workshop
from harness.console import terminal
from harness.console.progress import duration
from harness.engines import Engine
from harness.engines.credentials import without_credentials
from harness.gemm import GEMM
from harness.records.cell import Cell, PlannedCell
from harness.records.store import Store
from harness.sweeps.cached import cached_words
from harness.sweeps.checkpoint_problems import unfingerprinted_code
from harness.sweeps.estimate import engine_start_s
from harness.sweeps.kinds import KINDS, measured_in
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.retries import retried, to_measure
from harness.sweeps.session import JUDGE, Session
from harness.sweeps.unsupported import said_of

SERVERLESS = {
    JUDGE: "  (the judge is an endpoint)",
    GEMM: "  (products of linear layers, timed in the engine's environment; no server)",
}


def print_plan(
    prepared: Prepared,
    plan: Plan,
    store: Store,
    seconds: Callable[[Cell], float],
    problems: list[str],
    cost: Callable[[Sequence[Cell]], str | None] = lambda pending: None,
    again: Sequence[str] = (),
) -> None:
    """`seconds(cell)` estimates a cell; `problems` are preflight's; `cost(cells)`: what cells that are still to be
    measured cost; `again`: why cells that the store has are measured again.
    """
    from rich.table import Table

    engine = prepared.engine
    console = terminal.console(soft_wrap=True, width=None if sys.stdout.isatty() else 140)
    grand_total, todo = 0.0, 0
    for number, session in enumerate(plan.sessions, 1):
        pending = to_measure(session.cells, store)
        wait = sum(map(seconds, pending)) + (engine_start_s(engine) if pending else 0)
        grand_total, todo = grand_total + wait, todo + len(pending)
        state = f"about {duration(wait)}" if pending else "nothing to do: the engine is not started"
        console.print(f"\nsession {number}/{len(plan.sessions)}: {session.name} ({state})", style="bold", markup=False)
        console.print(_command(session, engine, prepared.workshop), markup=False, highlight=False)
        repaired = repair_words(session.config_overrides) if session.config_overrides else None
        remarks = (session.without_recipe, repaired, unfingerprinted_code(session, engine))
        for said in filter(None, (*remarks, *_remarks(prepared, session, pending), cost(pending))):
            console.print(f"  {said}", markup=False, highlight=False)
        table = Table("cell", "kind", "fingerprint", "state", "estimate")
        for cell in session.cells:
            estimate = duration(seconds(cell)) if cell in pending else ""
            table.add_row(cell.key, cell.kind, cell.fingerprint, _state(cell, store), estimate)
        console.print(table)
    cached = len(plan.cells) - todo
    console.print(
        f"\n{len(plan.sessions)} sessions, {len(plan.cells)} cells: {cached} cached, {todo} to measure, "
        f"about {duration(grand_total)} (environments and checkpoints not counted)",
        style="bold",
    )
    if total := cost(to_measure(plan.cells, store)):
        console.print(total, markup=False, highlight=False)
    for line in cached_words(plan.cells, store, datetime.now(UTC)):
        console.print(f"cached: {line}; --fresh measures them again", markup=False, highlight=False)
    for line in again:
        console.print(line, markup=False, highlight=False)
    if prepared.left_out:
        console.print("\nnot supported here, left out (on_unsupported=skip):", style="bold")
        for entry in prepared.left_out:
            console.print(f"  {said_of(entry)}", markup=False, highlight=False)
    if problems:
        console.print(f"\npreflight would stop this here, {len(problems)} problem(s):", style="bold")
        for index, problem in enumerate(problems, 1):
            console.print(f"  {index}. {problem}", markup=False, highlight=False)


def _state(cell: PlannedCell, store: Store) -> str:
    if cell.fingerprint not in store:
        return "to measure"
    return "invalid, to measure again" if retried(cell, store) else "cached"


def _remarks(prepared: Prepared, session: Session, pending: Sequence[Cell]) -> Iterator[str | None]:
    for kind in measured_in(session.kind):
        cells = [cell for cell in pending if cell.kind == kind]
        yield KINDS[kind].remark(cells, prepared) if cells else None


def _command(session: Session, engine: Engine, workshop: Workshop) -> str:
    """The exact server command; a checkpoint that is not made yet is named by where it will be."""
    if session.served is None:
        return SERVERLESS[session.kind]
    location = workshop.location(session.checkpoint, session.recipe)
    command = engine.command(session.deployment(location, source(session.checkpoint).commit))
    if not command:
        target = engine.target(session.served.name)
        address = without_credentials(target.base_url) if target else ""
        return f"  (served at {address}{f' as {target.model}' if target and target.model else ''})"
    ready = not engine.loads_weights or workshop.is_made(session.checkpoint, session.recipe)
    made = "" if ready else "  # the checkpoint will be made first"
    home = str(Path.home())
    return "  $ " + shlex.join(command).replace(home, "~") + made
