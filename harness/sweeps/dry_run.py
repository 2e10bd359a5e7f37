"""`dry_run=true`: the plan on one screen; `dry_run=cells`: every cell and server command.

Nothing is started; nothing is written but digests of files in cache_dir.
"""

import functools
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.checkpoints import source
from harness.checkpoints.compatibility import repair_words
from harness.checkpoints.prepare import Workshop
from harness.config.schema import CELLS
from harness.console import terminal
from harness.console.progress import duration
from harness.engines import Engine
from harness.engines.credentials import without_credentials
from harness.engines.parallel import gpus_of
from harness.gemm import GEMM
from harness.records.cell import Cell, PlannedCell
from harness.records.phase import REPORT
from harness.records.store import Store
from harness.sweeps.cached import cached_words
from harness.sweeps.distributed.packed import schedule_lines
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.kinds import KINDS, measured_in
from harness.sweeps.plan import Plan
from harness.sweeps.preflight.checkpoint_problems import unfingerprinted_code
from harness.sweeps.preflight.problem_groups import grouped
from harness.sweeps.preflight.unsupported import said_of
from harness.sweeps.prepare import Prepared
from harness.sweeps.retries import retried, to_measure
from harness.sweeps.session import JUDGE, Session

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHOWN_SESSIONS = 20
SERVERLESS = {
    JUDGE: "  (the judge is an endpoint)",
    GEMM: "  (products of linear layers, timed in the engine's environment; no server)",
}


def print_plan(
    prepared: Prepared,
    plan: Plan,
    store: Store,
    estimates: Estimates,
    problems: list[str],
    cost: Callable[[Sequence[Cell]], str | None] = lambda pending: None,
    notes: Sequence[str] = (),
) -> None:
    """`problems` are preflight's; `cost(cells)`: what cells that are still to be measured cost; `notes`: what a user
    should know of the sweep, and why cells of the store are measured again.
    """
    whole = prepared.config.dry_run == CELLS
    console = terminal.console(soft_wrap=True, width=None if sys.stdout.isatty() else 140)
    say = functools.partial(console.print, markup=False, highlight=False)
    outlook = [_look(prepared, session, store, estimates) for session in plan.sessions]
    if whole:
        for number, session in enumerate(outlook, 1):
            _print_session(console, prepared, store, estimates, cost, session, f"{number}/{len(outlook)}")
    else:
        console.print(_sessions_table(outlook))
        if len(outlook) > SHOWN_SESSIONS:
            rest = outlook[SHOWN_SESSIONS:]
            say(f"and {len(rest)} more sessions, about {duration(sum(one.seconds for one in rest))}")
        for line in dict.fromkeys(remark for one in outlook for remark in one.remarks):
            say(f"  {line}")
    todo, cells = sum(len(one.pending) for one in outlook), len(plan.cells)
    console.print(
        f"\n{len(plan.sessions)} session{'s' * (len(plan.sessions) != 1)}, {cells} cells: "
        f"{cells - todo} cached, {todo} to measure, "
        + (f"about {duration(estimates.total_s)}" if todo else "nothing to do"),
        style="bold",
    )
    if todo:
        say(f"time: {_parts(estimates)}; by {estimates.basis}")
    for line in schedule_lines(prepared, plan, store, estimates):
        say(line)
    if total := cost(to_measure(plan.cells, store)):
        say(total)
    for line in cached_words(plan.cells, store, datetime.now(UTC)):
        say(f"cached: {line}; --fresh measures them again")
    for line in notes:
        say(line)
    if prepared.left_out:
        console.print("\nnot supported here, left out (on_unsupported=skip):", style="bold")
        for entry in prepared.left_out:
            say(f"  {said_of(entry)}")
    if problems:
        groups = [(one, []) for one in problems] if whole else grouped(problems)
        count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
        count += f" of {len(groups)} kind{'s' * (len(groups) > 1)}" if len(groups) < len(problems) else ""
        console.print(f"\npreflight would stop this here, {count}:", style="bold")
        for index, (problem, alike) in enumerate(groups, 1):
            say(f"  {index}. {problem}" + (f"\n     likewise: {', '.join(alike)}" if alike else ""))
    if not whole:
        say("\ndry_run=cells lists every cell and the exact server commands")


@dataclass(frozen=True)
class Outlook:
    """What a run would do in a session. `remarks`: what a user should know of its checkpoint."""

    session: Session
    pending: tuple[PlannedCell, ...]
    seconds: float
    gpus: int | None
    remarks: tuple[str, ...]


def _parts(estimates: Estimates) -> str:
    """``environments 3:15, engine starts 2:10, load 5:01, accuracy 3:40``"""
    parts = estimates.by_kind()
    several = {kind: kind if kind in KINDS or kind == REPORT else f"{kind}s" for kind in parts}
    return ", ".join(f"{several[kind]} {duration(seconds)}" for kind, seconds in parts.items())


def _look(prepared: Prepared, session: Session, store: Store, estimates: Estimates) -> Outlook:
    engine, config = prepared.engine, prepared.config
    pending = tuple(to_measure(session.cells, store))
    wait = estimates.of_session(session.name)
    repaired = repair_words(session.config_overrides) if session.config_overrides else None
    remarks = (session.without_recipe, repaired, unfingerprinted_code(session, engine))
    local = engine.loads_weights and engine.config.device != "cpu" and session.variant
    gpus = gpus_of(config, config.variants[session.variant_name]) if local else None
    return Outlook(session, pending, wait, gpus, tuple(filter(None, remarks)))


def _sessions_table(outlook: Sequence[Outlook]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    counts = any(one.gpus for one in outlook)
    table = Table("session", box=None, pad_edge=False, header_style="bold")
    for name in ("cells", "cached", "time", *(["GPUs"] if counts else [])):
        table.add_column(name, justify="right")
    for one in outlook[:SHOWN_SESSIONS]:
        cells = len(one.session.cells)
        row = [
            one.session.name,
            str(cells),
            str(cells - len(one.pending)),
            duration(one.seconds) if one.pending else "",
        ]
        table.add_row(*map(escape, row), *([str(one.gpus or "")] if counts else []))
    return table


def _print_session(
    console: "Console",
    prepared: Prepared,
    store: Store,
    estimates: Estimates,
    cost: Callable[[Sequence[Cell]], str | None],
    one: Outlook,
    number: str,
) -> None:
    """Its server command, remarks, and every cell."""
    from rich.table import Table

    session = one.session
    state = f"about {duration(one.seconds)}" if one.pending else "nothing to do: the engine is not started"
    console.print(f"\nsession {number}: {session.name} ({state})", style="bold", markup=False)
    console.print(_command(session, prepared.engine, prepared.workshop), markup=False, highlight=False)
    for said in filter(None, (*one.remarks, *_remarks(prepared, session, one.pending), cost(one.pending))):
        console.print(f"  {said}", markup=False, highlight=False)
    table = Table("cell", "kind", "fingerprint", "state", "estimate")
    for cell in session.cells:
        estimate = duration(estimates.of_cell(cell.key)) if cell in one.pending else ""
        table.add_row(cell.key, cell.kind, cell.fingerprint, _state(cell, store), estimate)
    console.print(table)


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
