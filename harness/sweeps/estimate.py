"""How long the plan will take: what the same cells took before, else a rule of thumb that says so."""

from collections.abc import Callable, Iterable
from statistics import mean

from harness.engines import Engine
from harness.records.cell import Cell
from harness.records.store import Store
from harness.sweeps.kinds import KINDS
from harness.sweeps.kinds.contract import Pace
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.retries import to_measure

# Rules of thumb: a 135M model on two CPU cores; an 8B model on one GPU, a 70B judge on one or behind an endpoint; a
# rehearsal, whose suites ask a handful of items.
ENGINE_START_S = {"weights": 60.0, "none": 2.0}
CPU = Pace(suite_s=10.0, item_s=0.5, judgement_s=0.5, token_s=0.05)
GPU = Pace(suite_s=10.0, item_s=0.1, judgement_s=0.2, token_s=0.01)
SIMULATED = Pace(suite_s=3.0, item_s=0.05, judgement_s=0.05, token_s=0.01)


def estimator(prepared: Prepared, plan: Plan, store: Store) -> Callable[[Cell], float]:
    """Seconds a cell will take: the mean of this sweep's stored cells of the same suite or load point, if any."""
    known: dict[str, list[float]] = {}
    for cell in plan.cells:
        taken_s = store.record(cell.fingerprint).duration_s if cell.fingerprint in store else None
        if taken_s is not None:
            known.setdefault(subject(cell), []).append(taken_s)
    engine = prepared.config.engine
    pace = SIMULATED if engine.kind == "simulated" else CPU if engine.device == "cpu" else GPU
    first = first_of_each_suite(to_measure(plan.cells, store))

    def seconds(cell: Cell) -> float:
        if subject(cell) in known:
            return mean(known[subject(cell)])
        return KINDS[cell.kind].seconds(cell, prepared, pace, cell.key in first)

    return seconds


def first_of_each_suite(cells: Iterable[Cell]) -> set[str]:
    """Keys of the first cell of each kind and suite."""
    return set({(cell.kind, cell.suite): cell.key for cell in reversed(list(cells))}.values())


def subject(cell: Cell) -> str:
    """What it measures, whichever variant and repeat: the suite or load point."""
    return cell.key.partition("/")[2].removesuffix(f"/r{cell.repeat}")


def engine_start_s(engine: Engine) -> float:
    return ENGINE_START_S["weights" if engine.loads_weights else "none"]


def total(plan: Plan, store: Store, engine: Engine, seconds: Callable[[Cell], float]) -> float:
    """Seconds for what is still to be measured, engine starts included."""
    result = 0.0
    for session in plan.sessions:
        pending = to_measure(session.cells, store)
        result += sum(map(seconds, pending)) + (engine_start_s(engine) if pending else 0.0)
    return result
