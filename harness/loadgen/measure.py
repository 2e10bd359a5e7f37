"""One load cell, from its name to its numbers."""

from collections.abc import Callable

from harness.errors import CellError
from harness.loadgen.bench import Bench, Progress
from harness.loadgen.capacity_cell import NOTHING, Begun, measure_capacity
from harness.loadgen.samples import Sample, row
from harness.loadgen.traffic.requests import warm_up_requests
from harness.records import Outcome
from harness.records.point import LoadPoint


def measure(
    bench: Bench,
    point: LoadPoint,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = lambda line: None,
    begun: Begun = NOTHING,
) -> Outcome:
    """`say` is told of each probe of a capacity search, which goes on from what was `begun`.

    Raises CellError when there is no number to show (bench.py).
    """
    if point.profile == "capacity":
        return measure_capacity(bench, point, progress, say, begun)
    run = bench.run(point, progress)
    return Outcome(run.result, map(row, run.samples), run.flags, run.window)


def warm_up(bench: Bench) -> list[Sample]:
    """load.warmup_requests of the scenario's prompts, one alone and then the rest at once, before a session's cells.

    First requests pay for lazy compilation, allocation and connection set-up. Raises CellError if none is answered.
    """
    if bench.load.warmup_requests <= 0:
        return []
    server = bench.server
    first, *rest = warm_up_requests(bench.traffic, server.model, bench.tokenizer, server.dialect.exact_length)
    samples = bench.send([first])[0]
    if rest:
        samples += bench.send(rest)[0]
    if not any(s.completed for s in samples):
        raise CellError(bench.failure(samples, "warm-up"))
    return samples
