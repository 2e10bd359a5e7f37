"""One worker process in the engine's environment, layer by layer."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from harness.config.schema import Config
from harness.engines import Engine
from harness.engines.process import ServerProcess, log_tail
from harness.errors import EngineError
from harness.gemm.shapes import Layer
from harness.gemm.worker_events import Measured, WorkerFacts
from harness.records.engine_facts import EngineFacts, Kernel

SEED = 0
START_S, GRACE_S = 300.0, 5.0
KERNELS_AT_MOST = 16  # that are timed side by side: bounds the silence between two lines of a worker


class Worker:
    """The process; it tells of the machine when it has started."""

    def __init__(self, config: Config, engine: Engine, layers: list[Layer], formats: dict[str, list[str]], log: Path):
        """`formats`: of each layer that is to be measured, the baseline's first."""
        if engine.gemm is None:
            raise EngineError(f"engine {engine.kind} has no Python whose kernels could be timed")
        self.config, self.gemm, self.log = config, engine.gemm, log
        self._facts: WorkerFacts | None = None
        self._command: list[str] = []
        settings = config.gemm
        self.spec = {
            "device": config.engine.device,
            "layers": [asdict(layer) | {"formats": formats[layer.name]} for layer in layers if layer.name in formats],
            "batch_sizes": sorted(set(settings.batch_sizes)),
            "repeats": settings.repeats,
            "min_time_s": settings.min_time_ms / 1e3,
            "max_point_s": settings.max_point_s,
            "seed": SEED,
        }

    def measure(self, advance: Callable[[int, int], None]) -> Iterator[Measured]:
        """Each layer when all of it is measured. Raises EngineError when the worker dies or falls silent."""
        file = self.log.with_suffix(".spec.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.spec))
        command, env = self.gemm.command(file)
        silence = START_S + KERNELS_AT_MOST * 2 * self.config.gemm.max_point_s
        left = [layer["name"] for layer in self.spec["layers"]]
        process = ServerProcess(command, env, self.log, GRACE_S, talks=True)
        try:
            current = Measured(left[0])
            for line in process.lines(silence):
                said = json.loads(line)
                event = said.pop("event")
                if event == "facts":
                    self._facts, self._command = WorkerFacts.from_event(said), command
                    current = Measured(left[0])  # its time does not count the worker's start
                elif event == "progress":
                    advance(said["done"], said["total"])
                elif event == "layer":
                    current.seconds = (datetime.now(UTC) - current.started_at).total_seconds()
                    yield current
                    left.remove(current.layer)
                    current = Measured(left[0]) if left else current
                else:
                    current.add(event, said)
        except TimeoutError:
            raise EngineError(f"the GEMM worker said nothing for {silence:.0f} s while measuring {left[0]}") from None
        finally:
            process.stop()
        if left:
            raise EngineError(
                f"the GEMM worker died while measuring {left[0]}, exit code {process.exit_code()}; "
                f"the end of its log:\n"
                f"{log_tail(self.log)}\n  the whole log: {self.log}"
            )

    @property
    def is_started(self) -> bool:
        return self._facts is not None

    @property
    def facts(self) -> WorkerFacts:
        """Raises ValueError before it has started."""
        if self._facts is None:
            raise ValueError("the GEMM worker has not started")
        return self._facts

    def engine_facts(self, kernel: str) -> EngineFacts:
        """As every record has them."""
        engine = self.config.engine
        versions = {name: found for name, found in self.facts.versions.items() if found}
        own = next((versions[name] for name in self.gemm.packages if name in versions), None)
        facts = self.facts
        told = {"device_name": facts.device_name, "threads": facts.threads, "cuda": facts.cuda}
        return EngineFacts(
            kind=engine.kind,
            version=own or engine.version or "",
            device=engine.device,
            command=tuple(self._command),
            log=str(self.log),
            kernels=(Kernel("products", kernel),),
            more={**told, "cache_bytes": facts.cache_bytes, "versions": versions},
        )
