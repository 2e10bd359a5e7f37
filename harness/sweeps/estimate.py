"""How long the plan will take: what the same cells took before, else a rule of thumb that says so."""

from collections.abc import Callable
from statistics import mean

from harness.accuracy import Suite
from harness.config.schema import Config
from harness.engines import Engine
from harness.gemm import GEMM
from harness.load.traffic.replay import replayed
from harness.records.cell import Cell
from harness.records.store import Store
from harness.sweeps.plan import Plan

# Rules of thumb: a 135M model on two CPU cores; an 8B model on one GPU, a 70B judge on one or behind an endpoint; a
# rehearsal, whose suites ask a handful of items.
ENGINE_START_S = {"weights": 60.0, "none": 2.0}
GEMM_KERNELS = 3  # of a format, its baseline's among them
UNKNOWN_ITEMS = 1000  # of a suite that does not know how many it has
SECONDS_A_SUITE = {"cpu": 10.0, "gpu": 10.0, "simulated": 3.0}
SECONDS_PER_ITEM = {"cpu": 0.5, "gpu": 0.1, "simulated": 0.05}
SECONDS_PER_JUDGEMENT = {"cpu": 0.5, "gpu": 0.2, "simulated": 0.05}
SECONDS_PER_TOKEN = {"cpu": 0.05, "gpu": 0.01, "simulated": 0.01}


def estimator(config: Config, plan: Plan, suites: dict[str, Suite], store: Store) -> Callable[[Cell], float]:
    """Seconds a cell will take: the mean of this sweep's stored cells of the same suite or load point, if any."""
    known: dict[str, list[float]] = {}
    for cell in plan.cells:
        if cell.fingerprint in store:
            known.setdefault(what(cell), []).append(store.record(cell.fingerprint).duration_s)

    on_cpu = config.engine.device == "cpu"
    kind = "simulated" if config.engine.kind == "simulated" else "cpu" if on_cpu else "gpu"
    per_item, per_token = SECONDS_PER_ITEM[kind], SECONDS_PER_TOKEN[kind]
    first = _calibrating([cell for cell in plan.cells if cell.fingerprint not in store])

    def seconds(cell: Cell) -> float:
        if what(cell) in known:
            return mean(known[what(cell)])
        if cell.kind == "judge":
            asked = suites[cell.suite].judge_calls(config.data.root, config.judge, cell.key not in first)
            return SECONDS_A_SUITE[kind] + asked.calls * SECONDS_PER_JUDGEMENT[kind]
        if cell.kind == GEMM:
            rounds = len(config.gemm.batch_sizes) * (2 + config.gemm.repeats)
            return GEMM_KERNELS * rounds * config.gemm.min_time_ms / 1e3
        if cell.kind != "load":
            return SECONDS_A_SUITE[kind] + (suites[cell.suite].planned_items() or UNKNOWN_ITEMS) * per_item
        scenario = config.scenarios[cell.scenario]
        tokens = scenario.output_tokens * scenario.turns
        if cell.point.profile == "capacity":
            search = config.load.capacity
            return search.probes * (max(search.duration_s, search.requests * per_token) + tokens * per_token)
        if cell.point.trace_sha256 is not None:  # the last answer to end, not the last request, ends the replay
            speed, arrivals = cell.point.trace_speed, replayed(cell.point, config.load)
            return max(arrival.at_s / speed + arrival.output_tokens * per_token for arrival in arrivals)
        if cell.point.rate_rps:
            return cell.point.requests / cell.point.rate_rps + tokens * per_token
        streams = cell.point.concurrency or 8
        return cell.point.requests * tokens * per_token / streams

    return seconds


def judging(config: Config, suites: dict[str, Suite], cells: list[Cell]) -> str | None:
    """What judge cells that are still to be measured will ask, for the plan; None for other cells."""
    cells = [cell for cell in cells if cell.kind == "judge"]
    if not cells:
        return None
    first = _calibrating(cells)
    asked = [suites[c.suite].judge_calls(config.data.root, config.judge, c.key not in first) for c in cells]
    calls, prompt, completion = (
        sum(getattr(one, name) for one in asked) for name in ("calls", "prompt_tokens", "completion_tokens")
    )
    text = f"at most {calls:,} calls of the judge, its trial on known pairs included: "
    text += f"up to about {prompt:,} prompt tokens, 4 characters each, and {completion:,} completion tokens"
    if config.judge.base_url:
        text += f"; {config.judge.endpoint_model} at an endpoint may charge for them"
    return text


def _calibrating(cells: list[Cell]) -> set[str]:
    """Keys of the cells in which a judge is tried first: the first of each suite."""
    return set({cell.suite: cell.key for cell in reversed(cells) if cell.kind == "judge"}.values())


def what(cell: Cell) -> str:
    """What it measures, whichever variant: the suite or load point."""
    subject = cell.key.partition("/")[2]
    return subject.removesuffix(f"/r{cell.repeat}") if cell.kind == "accuracy" else subject


def engine_start_s(engine: Engine) -> float:
    return ENGINE_START_S["weights" if engine.loads_weights else "none"]


def total(plan: Plan, store: Store, engine: Engine, seconds: Callable[[Cell], float]) -> float:
    """Seconds for what is still to be measured, engine starts included."""
    result = 0.0
    for session in plan.sessions:
        pending = [cell for cell in session.cells if cell.fingerprint not in store]
        result += sum(map(seconds, pending)) + (engine_start_s(engine) if pending else 0.0)
    return result
