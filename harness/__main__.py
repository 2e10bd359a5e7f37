"""python -m harness +sweep=NAME [KEY=VALUE ...]: Hydra in, exit code out.

Exit codes: 0 complete, 1 some cells or checks failed (the report is written all the same), 2 configuration or
preflight, 130 interrupted (SIGINT, SIGTERM), 129 hung up (SIGHUP). Running the same command again measures only what
is missing.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console.output import masked_main
from harness.errors import ConfigError, HarnessError, PreflightError
from harness.machine import interrupts

if TYPE_CHECKING:
    from omegaconf import DictConfig

given: list[str] = []  # the command line as typed; sys.argv is what Hydra reads
outcomes: list[int | Exception] = []  # hydra.main returns nothing, and adds its own line to what passes through it


def sweep(composed: "DictConfig") -> None:
    from harness.machine import disk, scratch
    from harness.sweeps.sweep import run_sweep  # plans, runs, reports: not needed for --help

    folders = [Path(str(composed.get(f"{name}_dir", "."))).absolute() for name in ("results", "reports", "cache")]
    try:
        with disk.among(*folders, scratch.root()):
            outcomes.append(run_sweep(composed, given))
    except Exception as error:
        outcomes.append(error)


def compose_and_run() -> None:
    """What passes through Hydra is about the configuration; what happens in the sweep is in `outcomes`."""
    import hydra  # here: secrets on the command line are hidden before anything slow is imported

    from harness.sweeps import compose
    from harness.sweeps.overrides import prepare_arguments

    compose.register()
    given[:] = sys.argv
    sys.argv[1:] = prepare_arguments(sys.argv[1:], compose.options("sweep"))
    try:
        hydra.main(version_base="1.3", config_path=compose.config_path(), config_name="config")(sweep)()
    except Exception as error:
        raise ConfigError(compose.explain(error)) from None


def main() -> int:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # we explain errors ourselves
    try:
        compose_and_run()
        for failure in outcomes:
            if isinstance(failure, Exception):
                raise failure
    except KeyboardInterrupt as error:
        interrupts.finish()
        print("\ninterrupted; what was measured is stored: the same command goes on from there", file=sys.stderr)
        return interrupts.exit_code(error)
    except (ConfigError, PreflightError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return max(outcomes, default=0)


if __name__ == "__main__":
    sys.exit(masked_main(main))
