"""Measure how much sessions that run at once on this machine disturb each other: an A/A interference test.

    harness interference +sweep=hopper_sparse_fp8
    harness interference +sweep=quickstart executor.parallel=2

The sweep's baseline is measured alone and beside neighbours in turn: engines of the same variant on every other GPU, or
share of the CPU cores, that load, or answer one-token requests as accuracy suites do. How p50 and p99 ITL and the
throughput change, each with its 95 % interval, decides what executor.colocate=auto means here: where nothing changes by
more than 1 %, load sessions run side by side; where accuracy neighbours alone do no harm, accuracy runs beside a load
session; else load sessions run alone. The result is kept in cache_dir for this machine and engine; later sweeps use it.

Exit codes: 0 measured; 1 the test failed; 2 a mistake in the command or a problem of preflight.
"""

import pickle
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.analysis.interference import Reading, beside
from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.console.progress import Progress, duration, make_progress
from harness.errors import ConfigError, DiskFull, HarnessError, PreflightError
from harness.executors import Ended, Needs, Place, Task
from harness.executors.interference import keep
from harness.machine.scratch import scratch
from harness.records.interference import Interference
from harness.records.store import Store
from harness.sweeps.distributed.session_events import Refused, Shown
from harness.sweeps.interference.session import NAME, Role
from harness.sweeps.interference.turns import ROUNDS, TURN_S
from harness.sweeps.plan import Plan, build_plan
from harness.sweeps.prepare import Prepared, prepare, store_folder
from harness.sweeps.session import Session
from harness.sweeps.session_gpus import needed

ENTRY = "harness.sweeps.interference.session:measure"


def main() -> int:
    parser = command_parser(NAME, __doc__)
    parser.add_argument("settings", nargs="+", metavar="KEY=VALUE", help="+sweep=NAME and settings, as of a sweep")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"repeats of each; default: {ROUNDS}")
    parser.add_argument("--turn-s", type=float, default=TURN_S, metavar="S", help=f"of a repeat; default: {TURN_S:g}")
    arguments = parser.parse_args()
    try:
        return _command(arguments.settings, arguments.rounds, arguments.turn_s)
    except (ConfigError, PreflightError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _command(settings: list[str], rounds: int, turn_s: float) -> int:
    from harness.sweeps.composing.compose import compose_sweep
    from harness.sweeps.preflight import preflight

    if rounds < 2:
        raise ConfigError(f"--rounds {rounds}: at least 2, or there is no interval")
    if turn_s <= 0:
        raise ConfigError(f"--turn-s {turn_s:g}: must be above 0")
    config = compose_sweep(settings)
    progress = make_progress(config.progress)
    prepared = prepare(config, progress.say)
    plan = build_plan(prepared)
    tested(prepared, plan)
    if found := preflight.problems(prepared, plan):
        raise PreflightError(found)
    store = Store(store_folder(prepared.config))
    with store.locked():
        result = test(prepared, plan, store, progress, rounds, turn_s)
    for one in result.beside:
        for change in one.changes:
            print(f"{change.metric:<18} {change.alone:9.2f} alone; beside {one.neighbours}: {change.words}")
    print(f"\nexecutor.colocate=auto is {result.colocate} here: {MEANS[result.colocate]}")
    return 0


MEANS = {
    "none": "load sessions run alone",
    "accuracy": "accuracy sessions run beside a load session, load sessions one at a time",
    "all": "load sessions run side by side",
}


def tested(prepared: Prepared, plan: Plan) -> tuple[Session, int]:
    """Return the session that a test starts and how many at once. Raises ConfigError where there is nothing to test."""
    baseline = prepared.config.baseline
    session = next((one for one in plan.sessions if one.variant == baseline and one.scenarios), None)
    if session is None:
        raise ConfigError("the sweep measures no load on its baseline; select a scenario")
    gpus = needed(prepared.config, prepared.engine, session)
    limits = prepared.executor.limits
    sessions = min(limits.parallel, limits.gpus // gpus if gpus else limits.parallel)
    if prepared.executor.serial or sessions < 2:
        raise ConfigError("one session runs at a time here: there are no neighbours; see executor.gpus and .parallel")
    return session, sessions


def test(
    prepared: Prepared, plan: Plan, store: Store, progress: Progress, rounds: int = ROUNDS, turn_s: float = TURN_S
) -> Interference:
    """Measure, keep and return the interference of this machine. Raises HarnessError; the store must be locked."""
    session, sessions = tested(prepared, plan)
    gpus = needed(prepared.config, prepared.engine, session)
    progress.say(f"interference test: {session.name} alone and beside {sessions - 1} of its kind, {rounds} rounds")
    began, readings = time.monotonic(), list[Reading]()

    def receive(task: Task, place: Place, event: Any) -> None:
        match event:
            case Reading():
                readings.append(event)
            case Shown("say", (line,)):
                progress.say(line)
            case Refused(error, full):
                raise DiskFull(error) if full else HarnessError(f"{task.name}: {error}")
            case Ended(str(error)):
                raise HarnessError(f"{task.name}: {error}; its log: {task.log}")

    with scratch(NAME) as folder:
        whole = Role(prepared.asked, session.name, str(folder), str(store.root), sessions - 1, rounds, turn_s, None)
        numbers = [None, *range(sessions - 1)]
        tasks = [_task(replace(whole, number=number), gpus, store.logs) for number in numbers]
        prepared.executor.run(tasks, receive)
    result = Interference(
        machine=prepared.executor.machine,
        variant=session.label,
        model=session.checkpoint,
        sessions=sessions,
        rounds=len({one.round for one in readings}),
        took_s=round(time.monotonic() - began, 1),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        beside=beside(readings),
    )
    keep(prepared.engine.cache_dir, result)
    progress.say(f"{result.words}, in {duration(result.took_s)}: {MEANS[result.colocate]}")
    return result


def _task(role: Role, gpus: int, logs: Path) -> Task:
    name = NAME if role.number is None else f"{NAME}, neighbour {role.number + 1}"
    log = logs / f"{NAME}{'' if role.number is None else role.number + 1}.session.log"
    return Task(name, Needs(gpus), float(role.number is None), (), ENTRY, log, partial(pickle.dumps, role))


if __name__ == "__main__":
    sys.exit(masked_main(main))
