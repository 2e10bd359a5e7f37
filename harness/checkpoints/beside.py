"""A checkpoint that is made in a process beside this one, while a server answers what measures no time.

`Workshop.prepare` locks: who needs the checkpoint meanwhile waits for it there. A failure is in the log, and whoever
needs the checkpoint then makes it again and reports the failure.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from harness.checkpoints.prepare import Workshop
from harness.checkpoints.recipe_fields import RecipeFields
from harness.engines.environment import STOP_GRACE_S, EnvironmentConfig
from harness.engines.process import ServerProcess

VARIABLE = "HARNESS_MAKE_BESIDE"  # not an argument: what is in `env` of an environment may be secret
LOG = "compression.log"


@contextmanager
def making(workshop: Workshop, reference: str, recipe: RecipeFields) -> Iterator[None]:
    """Make a checkpoint beside what else the context does, and wait for it at its end, unless that is an error."""
    log = workshop.log.with_name(LOG)
    task = json.dumps([asdict(workshop.compression), str(workshop.cache_dir), str(log), reference, recipe])
    process = ServerProcess([sys.executable, "-m", "harness.checkpoints.beside"], {VARIABLE: task}, log, STOP_GRACE_S)
    try:
        yield
        process.wait()
    finally:
        process.stop()


def main() -> None:
    """Raises HarnessError."""
    compression, cache_dir, log, reference, recipe = json.loads(os.environ.pop(VARIABLE))
    Workshop(EnvironmentConfig(**compression), Path(cache_dir), Path(log), lambda said: None).prepare(reference, recipe)


if __name__ == "__main__":
    main()
