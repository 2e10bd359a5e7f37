"""One load cell, from its name to its numbers."""

from collections.abc import Callable
from typing import Any

from harness.config.workloads import LoadPoints, Scenario
from harness.engines import Server
from harness.errors import CellError
from harness.loadgen.bench import Bench, Progress
from harness.loadgen.capacity_cell import measure_capacity
from harness.loadgen.samples import row
from harness.loadgen.traffic.requests import warm_up_requests
from harness.records import Outcome
from harness.records.point import LoadPoint


def measure(
    server: Server,
    tokenizer: Any,
    scenario_name: str,
    scenario: Scenario,
    point: LoadPoint,
    load: LoadPoints,
    seed: int,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """`say` is told of each probe of a capacity search. Raises CellError when there is no number to show (bench.py)."""
    bench = Bench(server, tokenizer, scenario_name, scenario, load, seed)
    if point.profile == "capacity":
        return measure_capacity(bench, point, progress, say)
    run = bench.run(point, progress)
    return Outcome(run.result, map(row, run.samples), run.flags, run.window)


def warm_up(
    server: Server, tokenizer: Any, scenario_name: str, scenario: Scenario, load: LoadPoints, seed: int
) -> None:
    """load.warmup_requests of the scenario's prompts, one alone and then the rest at once, before a session's cells.

    First requests pay for lazy compilation, allocation and connection set-up. Raises CellError if none is answered.
    """
    if load.warmup_requests <= 0:
        return
    bench = Bench(server, tokenizer, scenario_name, scenario, load, seed)
    asked = (server.model, tokenizer, scenario_name, scenario, load, seed)
    first, *rest = warm_up_requests(*asked, exact_length=server.dialect.exact_length)
    samples = bench.send([first])[0]
    if rest:
        samples += bench.send(rest)[0]
    if not any(s.completed for s in samples):
        raise CellError(bench.failure(samples, "warm-up"))
