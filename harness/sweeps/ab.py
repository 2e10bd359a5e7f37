"""Compare A and B by starts in turn, A B B A A B B A ..., each start a run of its sweep.

    harness ab nightly 'nightly engine.version=0.33.0' --max-itl-regression p99=0.05
    harness ab 'nightly variant=[bf16]' 'nightly variant=[fp8_dynamic]' --starts 5 --min-throughput-ratio 1.1
    harness ab nightly 'nightly engine.efficiency=0.93' engine=simulated --starts 4 --max-itl-regression 0.05

A and B are each the name of a sweep, and settings of it in the same argument; settings after them are of both. What
drifts while they run (heat, neighbours, the clock) is on both sides alike, and what differs from start to start is in
the interval, so that a gate on a tail percentile holds its 5 %. The starts are kept in OUT/a_1, OUT/b_1, ...; the same
command again measures only what is missing. Gates and outputs are those of `harness compare`, which compares the starts
again: harness compare OUT/a_*/NAME --candidate OUT/b_*/NAME.

Exit codes: those of `harness compare` (0, 2, 3, 4); 1: a run failed, and nothing was compared.
"""

import shlex
import subprocess
import sys
from pathlib import Path

from harness.compare.__main__ import MISTAKE, compare
from harness.compare.arguments import add_gates, add_outputs
from harness.console.arguments import command_parser
from harness.errors import ConfigError, HarnessError
from harness.redaction.masking import mask

FEWEST = 2  # of each: fewer do not show how starts differ


def main() -> int:
    parser = command_parser("ab", __doc__)
    parser.add_argument("a", metavar="A", help="the reference: 'SWEEP [KEY=VALUE ...]'")
    parser.add_argument("b", metavar="B", help="the candidate, in the same form")
    parser.add_argument("settings", metavar="KEY=VALUE", nargs="*", help="settings of both")
    parser.add_argument("--starts", type=int, default=3, metavar="N", help="of each; default: 3")
    parser.add_argument("--out", type=Path, default=Path("results/ab"), metavar="OUT", help="default: results/ab")
    add_gates(parser)
    add_outputs(parser)
    arguments = parser.parse_intermixed_args()
    try:
        if arguments.starts < FEWEST:
            raise ConfigError(f"--starts {arguments.starts}: at least {FEWEST} of each show how starts differ")
        sides = {"a": [*_sweep(arguments.a), *arguments.settings], "b": [*_sweep(arguments.b), *arguments.settings]}
        names = {side: _name(words) for side, words in sides.items()}
        for number, side in turns(arguments.starts):
            folder = f"{side}_{number}"
            places = [f"results_dir={arguments.out / folder}", f"reports_dir={arguments.out / 'reports' / folder}"]
            command = [sys.executable, "-m", "harness", *sides[side], *places]
            print(f"\n[{folder}] {mask(shlex.join(command[1:]))}", flush=True)
            if code := run(command):
                print(f"error: start {folder} ended with exit code {code}; nothing is compared", file=sys.stderr)
                return 1
        folders = {s: [str(arguments.out / f"{s}_{n + 1}" / names[s]) for n in range(arguments.starts)] for s in sides}
        arguments.folders, arguments.candidate, arguments.results = folders["a"], folders["b"], None
        return compare(arguments, shlex.join(["harness", "ab", *map(mask, sys.argv[1:])]))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE


def run(command: list[str]) -> int:
    """Run a sweep in this terminal and return its exit code."""
    return subprocess.run(command, check=False).returncode


def turns(starts: int) -> list[tuple[int, str]]:
    """Return (number, side) in the order of starts, A B B A A B ...: what drifts evenly is on both sides alike."""
    return [(n + 1, side) for n in range(starts) for side in ("ab" if n % 2 == 0 else "ba")]


def _sweep(text: str) -> list[str]:
    """``nightly engine.version=0.33.0`` as words for Hydra. Raises ConfigError."""
    try:
        name, *settings = shlex.split(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not 'SWEEP [KEY=VALUE ...]'; name a sweep of conf/sweep") from None
    return [name if "=" in name else f"+sweep={name}", *settings]


def _name(words: list[str]) -> str:
    from harness.sweeps.composing.compose import compose_sweep

    return compose_sweep(words).name
