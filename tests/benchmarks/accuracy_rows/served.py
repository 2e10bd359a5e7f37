"""The quickstart's baseline on the real engine, started as a sweep starts it, for as long as a benchmark needs it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.accuracy import Context, suite_class
from harness.checkpoints.prepare import Workshop
from harness.engines import Deployment, Engine, Server, engine_class
from harness.records import Outcome
from harness.sweeps.composing.compose import compose_sweep


@dataclass(frozen=True)
class Served:
    server: Server
    engine: Engine
    tokenizer: str
    data_root: str
    concurrency: int
    work: Path  # a folder for everything that a run leaves
    say: Callable[[str], None]

    def folder(self, name: str) -> Path:
        path = self.work / name
        path.mkdir(parents=True)
        return path

    def run(self, kind: str, settings: dict[str, Any], folder: Path) -> Outcome:
        """A suite's whole path, on an empty prefix cache."""
        self.engine.reset_prefix_cache(self.server)
        suite = suite_class(kind)
        made = suite(kind, suite.Config(**settings))
        progress = lambda done, total: None  # noqa: E731
        return made.run(Context(self.server, self.tokenizer, self.data_root, 0, self.concurrency, folder, progress))


@contextlib.contextmanager
def served(overrides: list[str], data_root: str, concurrency: int, work: Path, say) -> Iterator[Served]:
    """Raises HarnessError when the engine cannot be had."""
    config = compose_sweep(["+sweep=quickstart", "variant=[bf16]", "suite=[]", "judge=null", *overrides])
    cache = Path(config.cache_dir).expanduser().resolve()
    engine = engine_class(config.engine.kind)(config.engine, cache)
    say("the engine's environment, the checkpoint and the engine (minutes the first time)")
    engine.prepare(work / "setup.log")
    checkpoint = Workshop(config.compression, cache, work / "setup.log", say).prepare(config.model, None)
    with engine.serve(Deployment("bf16", checkpoint.location), work / "engine.log") as server:
        yield Served(server, engine, checkpoint.location, data_root, concurrency, work, say)
