"""An environment that is installed in a process beside this one, while another is.

`environment.ensure` locks: who needs the environment meanwhile waits for it there. A failure is in the log, and
whoever needs the environment then installs it again and reports the failure.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from harness.engines.environment import STOP_GRACE_S, EnvironmentConfig, ensure, is_ready

VARIABLE = "HARNESS_INSTALL_AHEAD"  # not an argument: what is in `env` of an environment may be secret


@contextmanager
def installing(config: EnvironmentConfig, cache_dir: Path, log: Path) -> Iterator[None]:
    """Install the environment for as long as the context lasts, unless it is ready."""
    from harness.engines.process import ServerProcess

    if is_ready(config, cache_dir):
        yield
        return
    task = json.dumps([asdict(config), str(cache_dir), str(log)])
    process = ServerProcess([sys.executable, "-m", "harness.engines.ahead"], {VARIABLE: task}, log, STOP_GRACE_S)
    try:
        yield
    finally:
        process.stop()


def main() -> None:
    """Raises HarnessError."""
    config, cache_dir, log = json.loads(os.environ.pop(VARIABLE))
    ensure(EnvironmentConfig(**config), Path(cache_dir), Path(log))


if __name__ == "__main__":
    main()
