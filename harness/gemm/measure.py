"""Runs the session of the GEMM study: layer by layer, a layer's cells kept as soon as it is measured."""

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.config.schema import Config
from harness.console.progress import Progress
from harness.engines import Engine
from harness.errors import CellError, EngineError
from harness.gemm.outcome import outcome, pending_formats
from harness.gemm.shapes import model_layers
from harness.gemm.worker_process import Worker
from harness.records.cell import Cell

STARTS = 2  # a worker that a kernel killed is started once more for the layers after it


def measure_products(
    config: Config,
    engine: Engine,
    location: str,
    pending: Callable[[], Sequence[Cell]],
    log: Path,
    progress: Progress,
    keep: Callable[..., None],
    fail: Callable[..., None],
) -> None:
    """`location`: of the model's config.json. `keep(cell, outcome, engine facts, started_at, seconds)` and `fail(cell,
    error, seconds)` take a cell off `pending()`. Raises HarnessError where nothing could be started."""
    layers = {layer.name: layer for layer in model_layers(config.model, location, config.gemm)}
    for start in range(STARTS):
        if not (cells := pending()):
            return
        progress.say("gemm: starting the worker" + (" again" if start else ""))
        formats = pending_formats(config, [(cell.variant, cell.subject) for cell in cells])
        worker = Worker(config, engine, list(layers.values()), formats, log)
        try:
            for found in worker.measure(progress.advance):
                mine = [cell for cell in cells if cell.subject == found.layer]
                seconds = found.seconds / len(mine)
                for cell in mine:
                    try:
                        got, kernel = outcome(config, cell.variant, layers[cell.subject], found, worker.facts)
                    except CellError as error:
                        fail(cell, str(error), seconds)
                    else:
                        keep(cell, got, worker.engine_facts(kernel), found.started_at, seconds)
        except EngineError as error:
            if not worker.is_started:
                raise  # it did not even start
            left = pending()
            for cell in left:
                if cell.subject == left[0].subject:  # it may be what killed the worker; the others are tried again
                    fail(cell, str(error))
    for cell in pending():
        fail(cell, f"not run: the GEMM worker died {STARTS} times")
