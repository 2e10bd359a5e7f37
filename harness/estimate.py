"""How long the plan will take: what the same cells took before, else a rule of thumb that says so."""

from collections.abc import Callable
from statistics import mean

from harness.accuracy import Suite
from harness.config import Config
from harness.plan import Cell, Plan
from harness.store import Store

ENGINE_START_S = 60.0
# Rules of thumb: a 135M model on two CPU cores; an 8B model on one GPU.
SECONDS_PER_ITEM = {"cpu": 0.5, "gpu": 0.1}
SECONDS_PER_TOKEN = {"cpu": 0.05, "gpu": 0.01}


def estimator(config: Config, plan: Plan, suites: dict[str, Suite], store: Store) -> Callable[[Cell], float]:
    """Seconds a cell will take: the mean of this sweep's stored cells of the same suite or load point, if any."""
    known: dict[str, list[float]] = {}
    for cell in plan.cells:
        if cell.fingerprint in store:
            known.setdefault(_what(cell), []).append(store.record(cell.fingerprint)["duration_s"])

    kind = "cpu" if getattr(config.engine, "device", None) == "cpu" else "gpu"
    per_item, per_token = SECONDS_PER_ITEM[kind], SECONDS_PER_TOKEN[kind]

    def seconds(cell: Cell) -> float:
        if _what(cell) in known:
            return mean(known[_what(cell)])
        if cell.kind != "load":
            return 10.0 + (suites[cell.suite].planned_items() or 1000) * per_item
        scenario = config.scenarios[cell.scenario]
        tokens = scenario.output_tokens * scenario.turns
        if cell.point.profile == "capacity":
            search = config.load.capacity
            return search.probes * (max(search.duration_s, search.requests * per_token) + tokens * per_token)
        if cell.point.rate_rps:
            return cell.point.requests / cell.point.rate_rps + tokens * per_token
        streams = cell.point.concurrency or 8
        return cell.point.requests * tokens * per_token / streams

    return seconds


def _what(cell: Cell) -> str:
    what = cell.key.partition("/")[2]
    return what.removesuffix(f"/r{cell.repeat}") if cell.kind == "accuracy" else what


def total(plan: Plan, store: Store, seconds: Callable[[Cell], float]) -> float:
    """Seconds for what is still to be measured, engine starts included."""
    result = 0.0
    for session in plan.sessions:
        pending = [cell for cell in session.cells if cell.fingerprint not in store]
        result += sum(map(seconds, pending)) + (ENGINE_START_S if pending else 0.0)
    return result
