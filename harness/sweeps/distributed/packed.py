"""A plan as its executor runs it: its parts, when each runs on which GPU, and what the dry run says of that."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from harness.console.progress import duration
from harness.executors import ALL, AUTO, Limits
from harness.records.cell import PlannedCell
from harness.records.results import Results
from harness.sweeps.distributed.parts import Division, Work, divide
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.interference.turns import test_s
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.retries import to_measure
from harness.sweeps.session_gpus import needed, needed_cores

PROCESS_START_S = 3.0  # a session's process, until it has planned the sweep again: a rule of thumb
WORTH = 3.0  # what an interference test may save over what it takes, for a sweep to run it first
SHOWN_GPUS, LINE = 8, 110
BESIDE = {
    "none": "load sessions run alone",
    "accuracy": "accuracy runs beside a load session",
    "all": "load sessions run side by side",
}


def division(
    prepared: Prepared, plan: Plan, store: Results, estimates: Estimates, taken: Collection[str] = ()
) -> Division:
    """Divide what is still to be measured, but for the fingerprints in `taken`, for the sweep's executor."""
    works = [
        replace(work, pending=tuple(cell for cell in work.pending if cell.fingerprint not in taken))
        for work in _works(prepared, plan, store, estimates)
    ]
    return divide(works, lambda cell: estimates.of_cell(cell.key), _limits(prepared, plan))


def gpu_problems(prepared: Prepared, plan: Plan) -> list[str]:
    """Return a line for each session that needs more GPUs than the executor has; for preflight."""
    limits = prepared.executor.limits
    needs = {s.label: needed(prepared.config, prepared.engine, s) for s in plan.sessions} if limits.gpus else {}
    most = max(limits.nodes, default=limits.gpus)
    there = f"no node has more than {most}" if limits.nodes else f"{most} are free or named in executor.gpus"
    return [f"{label} is served on {count} GPUs; {there}" for label, count in needs.items() if count > most]


def schedule_lines(prepared: Prepared, plan: Plan, store: Results, estimates: Estimates) -> Iterator[str]:
    """Yield what the dry run says of an executor with several GPUs."""
    limits = _limits(prepared, plan)
    works = _works(prepared, plan, store, estimates)
    if prepared.executor.serial or not any(work.pending for work in works):
        return

    def seconds(cell: PlannedCell) -> float:
        return estimates.of_cell(cell.key)

    found = divide(works, seconds, limits)
    yield f"{_summary(found, limits)}; one GPU: {duration(estimates.total_s)}"
    if limits.colocate != ALL:
        beside = replace(limits, colocate=ALL)
        yield f"{_summary(divide(works, seconds, beside), beside)}, {_why_not(prepared, plan, store, estimates)}"
    elif result := prepared.executor.interference:
        yield result.words
    for gpu in range(min(limits.gpus, SHOWN_GPUS)):
        own = [one for one in found.schedule.placed if gpu in one.gpus]
        told = "; ".join(f"{duration(one.start_s)} {one.task.name}" for one in own) or "not used"
        yield f"  GPU {gpu}: {told if len(told) <= LINE else told[: LINE - 1] + '…'}"
    if limits.gpus > SHOWN_GPUS:
        yield f"  and {limits.gpus - SHOWN_GPUS} more GPUs"


def test_first(prepared: Prepared, plan: Plan, store: Results, estimates: Estimates) -> float:
    """Return what an interference test takes, in seconds, where a sweep should run it first; 0 where it should not.

    That is where executor.colocate=auto has none to go by, and load sessions that run at once would save WORTH times
    what the test takes.
    """
    executor, limits = prepared.executor, _limits(prepared, plan)
    can = executor.tests_interference and prepared.config.executor.colocate == AUTO
    if executor.serial or not can or executor.interference is not None:
        return 0.0
    works = _works(prepared, plan, store, estimates)
    baseline = [work for work in works if work.session.variant == prepared.config.baseline and work.session.scenarios]
    if not baseline or not any(work.pending for work in works):
        return 0.0
    takes_s = test_s(baseline[0].start_s)

    def makespan_s(colocate: str) -> float:
        own = replace(limits, colocate=colocate)
        return divide(works, lambda cell: estimates.of_cell(cell.key), own).schedule.makespan_s

    return takes_s if makespan_s(limits.colocate) - makespan_s(ALL) > WORTH * takes_s else 0.0


def _why_not(prepared: Prepared, plan: Plan, store: Results, estimates: Estimates) -> str:
    """Why load sessions do not run side by side."""
    if result := prepared.executor.interference:
        return f"with executor.colocate={ALL}, but {result.words}"
    if takes_s := test_first(prepared, plan, store, estimates):
        return f"if the interference test that runs first ({duration(takes_s)}) finds no change above 1 %"
    return f"with executor.colocate={ALL}; they may disturb each other, which `harness interference` measures"


def _summary(found: Division, limits: Limits) -> str:
    return (
        f"{found.schedule.gpus_used} of {limits.gpus} GPUs: {len(found.parts)} sessions, about "
        f"{duration(found.schedule.makespan_s)}; {BESIDE[limits.colocate]}"
    )


def _works(prepared: Prepared, plan: Plan, store: Results, estimates: Estimates) -> list[Work]:
    config, engine = prepared.config, prepared.engine

    def start_s(session: str) -> float:
        return estimates.beginning_s(session) + PROCESS_START_S

    return [
        Work(
            session,
            tuple(to_measure(session.cells, store)),
            needed(config, engine, session),
            start_s(session.name),
            needed_cores(config, engine, session),
        )
        for session in plan.sessions
    ]


def _limits(prepared: Prepared, plan: Plan) -> Limits:
    """What the executor offers; a session that needs more is a problem of preflight, and is shown all the same."""
    limits = prepared.executor.limits
    most = max((needed(prepared.config, prepared.engine, session) for session in plan.sessions), default=0)
    fits = most <= max(limits.nodes, default=most)
    return replace(limits, gpus=max(limits.gpus, most) if limits.gpus else 0, nodes=limits.nodes if fits else ())
