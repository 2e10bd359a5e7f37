"""harness +sweep=NAME [KEY=VALUE ...]: Hydra in, exit code out.

Exit codes: 0 complete, 1 some cells or checks failed (the report is written all the same), 2 configuration or
preflight, 130 interrupted (SIGINT, SIGTERM), 129 hung up (SIGHUP). Running the same command again measures only what
is missing.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError, HarnessError, PreflightError
from harness.machine import interrupts

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main() -> int:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # we explain errors ourselves
    try:
        return compose_and_run()
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


def compose_and_run() -> int:
    """Compose the command line with Hydra, run the sweep and return its exit code. Raises what the sweep raises."""
    from harness.sweeps.composing import compose  # here: secrets on the command line are hidden before slow imports
    from harness.sweeps.composing.overrides import prepare_arguments

    compose.register()
    arguments, typed = prepare_arguments(sys.argv[1:], compose.options("sweep")), list(sys.argv)
    if any(word.lstrip("+~").startswith(("-", "hydra.", "hydra/")) for word in arguments):
        return run_through_hydra(arguments, typed)
    with interrupts.held():  # OmegaConf would turn an interrupt into its own error
        composed = compose.composed(arguments)
    return run(composed, typed)


def run_through_hydra(arguments: list[str], typed: list[str]) -> int:
    """Run with Hydra's own flags and settings, as in --cfg job or --multirun. It composes every sweep twice.

    Raises ConfigError for what passes through Hydra, and what the sweep itself raises, which Hydra would add lines to.
    """
    import hydra

    from harness.sweeps.composing import compose

    outcomes: list[int | Exception] = []  # hydra.main returns nothing
    composing = contextlib.ExitStack()

    def sweep(composed: "DictConfig") -> None:
        composing.close()
        try:
            outcomes.append(run(composed, typed))
        except Exception as error:
            outcomes.append(error)

    sys.argv[1:] = arguments
    with composing:
        composing.enter_context(interrupts.held())
        try:
            hydra.main(version_base="1.3", config_path=compose.config_path(), config_name="config")(sweep)()
        except Exception as error:
            raise ConfigError(compose.explain(error)) from None
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return max((outcome for outcome in outcomes if isinstance(outcome, int)), default=0)


def run(composed: "DictConfig", typed: list[str]) -> int:
    """Run a composed sweep; `typed` is the command line as the user gave it."""
    from harness.machine import disk, scratch
    from harness.sweeps.sweep import run_sweep  # plans, runs, reports: not needed for --help

    folders = [Path(str(composed.get(f"{name}_dir", "."))).absolute() for name in ("results", "reports", "cache")]
    with disk.among(*folders, scratch.root()):
        return run_sweep(composed, typed)
