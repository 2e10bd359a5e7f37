"""The command `harness`: a sweep, or one of COMMANDS by its name."""

import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

import harness
from harness.console.output import masked_main
from harness.errors import ConfigError, did_you_mean
from harness.paths import conf_files


@dataclass(frozen=True)
class Command:
    name: str
    module: str  # its main() reads sys.argv and returns the exit code
    help: str


COMMANDS = (
    Command("demo", "harness.sweeps.demo", "show a whole report in a minute: a simulated study, no network"),
    Command("servers", "harness.sweeps.servers", "compare running servers on your traffic: requests/s within an SLO"),
    Command("study", "harness.draft.command", "compare finished checkpoints: write the sweep file that does"),
    Command("report", "harness.report.__main__", "write a sweep's report again, from its store"),
    Command("compare", "harness.compare.__main__", "compare two sweeps, or two variants; gates for CI"),
    Command("ab", "harness.sweeps.ab", "start two engine versions or settings in turn, and compare the starts"),
    Command(
        "interference",
        "harness.sweeps.interference.command",
        "test whether sessions side by side disturb each other",
    ),
    Command("trend", "harness.compare.trend", "show a sweep's numbers over nights, and where their level changes"),
    Command("inspect", "harness.inspect", "show what is in a checkpoint, and whether an engine can read it"),
    Command("merge", "harness.sweeps.merge", "merge the stores of one sweep from several machines"),
    Command("check", "harness.check", "verify a sweep's store, and set damaged cells aside"),
    Command("track", "harness.track", "log a sweep to MLflow again, from its store"),
    Command("selftest", "harness.selftest.__main__", "test whether this machine can generate a sweep's load"),
    Command("telemetry", "harness.telemetry.__main__", "show the GPUs as NVML reports them, and who uses them"),
    Command("catalogue", "harness.catalogue", "print the variants of conf/variant as a Markdown table"),
    Command("rehearse", "harness.rehearse", "run a sweep on the simulated engine, in minutes, without a GPU"),
)
SWEEP = "harness.sweeps.command"

HELP = """\
usage: harness +sweep=NAME [KEY=VALUE ...]
       harness COMMAND ...

Accuracy-versus-performance studies of compressed LLMs.

run a sweep (the same command again measures only what is missing):
  harness +sweep=quickstart                       five variants of a 135M model on two CPU cores
  harness +sweep=quickstart dry_run=true          its plan, time and problems; dry_run=cells: every cell
  harness +sweep=quickstart --fresh               measure all of it again; earlier results are kept
  harness servers old=URL new=URL --slo itl_ms_p99=50  which of two running servers takes more of your traffic
  harness +sweep=quickstart --help                every group and setting; --cfg job: the composed configuration

sweeps:
{sweeps}

commands (harness COMMAND --help has examples):
{commands}

options:
  -h, --help            show this text
  --version             show the version

exit codes of a sweep: 0 complete, 1 some cells or checks failed or load cells are invalid, 2 configuration or
preflight (also of a dry run), 130 interrupted, 129 hung up. `python -m harness` is the same command.
"""


def main() -> int:
    """Run the command line of this process and return its exit code."""
    return masked_main(dispatch)


def dispatch() -> int:
    """Run what the first argument names: the help, a command, or else a sweep by KEY=VALUE and Hydra's flags."""
    first = sys.argv[1] if sys.argv[1:] else ""
    if first in ("-h", "--help"):
        print(help_text(), end="")
        return 0
    if first == "--version":
        print(f"harness {harness.__version__}")
        return 0
    modules = {command.name: command.module for command in COMMANDS}
    if first in modules:
        sys.argv[:2] = [f"harness {first}"]
    elif first and not _is_of_a_sweep(first):
        error = ConfigError(f"no command {first!r}{did_you_mean(first, list(modules))}")
        print(f"error: {error}", file=sys.stderr)
        return 2
    return import_module(modules.get(first, SWEEP)).main()


def _is_of_a_sweep(word: str) -> bool:
    """Whether `word` is a setting or a flag, or a sweep's name, which the sweep's command explains how to type."""
    return "=" in word or word.startswith(("-", "+", "~")) or word in ("sweep", *_sweeps())


def help_text() -> str:
    commands = "\n".join(f"  {command.name:<21} {command.help}" for command in COMMANDS)
    return HELP.format(sweeps=_wrapped(_sweeps()), commands=commands)


def _wrapped(words: Iterable[str]) -> str:
    return textwrap.fill(", ".join(words), 110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _sweeps() -> list[str]:
    return list(conf_files("sweep"))


if __name__ == "__main__":
    sys.exit(main())
