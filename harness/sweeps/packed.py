"""A plan as its executor runs it: its parts, when each runs on which GPU, and what the dry run says of that."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from harness.console.progress import duration
from harness.executors import ALL, Limits
from harness.records.cell import PlannedCell
from harness.records.results import Results
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.parts import Division, Work, divide
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.retries import to_measure
from harness.sweeps.session_gpus import needed, needed_cores

PROCESS_START_S = 3.0  # a session's process, until it has planned the sweep again: a rule of thumb
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
    executor = prepared.executor
    needs = {s.label: needed(prepared.config, prepared.engine, s) for s in plan.sessions} if executor.gpus else {}
    return [
        f"{label} is served on {count} GPUs; {executor.gpus} are free or named in executor.gpus"
        for label, count in needs.items()
        if count > executor.gpus
    ]


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
        yield f"{_summary(divide(works, seconds, beside), beside)} and may disturb each other: executor.colocate={ALL}"
    for gpu in range(min(limits.gpus, SHOWN_GPUS)):
        own = [one for one in found.schedule.placed if gpu in one.gpus]
        told = "; ".join(f"{duration(one.start_s)} {one.task.name}" for one in own) or "not used"
        yield f"  GPU {gpu}: {told if len(told) <= LINE else told[: LINE - 1] + '…'}"
    if limits.gpus > SHOWN_GPUS:
        yield f"  and {limits.gpus - SHOWN_GPUS} more GPUs"


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
    return replace(limits, gpus=max(limits.gpus, most) if limits.gpus else 0)
