"""Measure the load client on this machine, in about a minute. With a sweep, against what the sweep needs.

    harness selftest
    harness selftest --workers 2 --json selftest.json
    harness selftest +sweep=hopper_sparse_fp8 'load.rates_rps=[1,8,32]'

Exit codes: 0 this machine can measure what is asked, 1 it cannot, 2 a wrong command line.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.console.terminal import console
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.selftest.checks import Check


def main() -> int:
    parser = command_parser("selftest", __doc__)
    parser.add_argument("overrides", nargs="*", metavar="+sweep=NAME", help="a sweep as `harness` takes it")
    parser.add_argument("--workers", type=int, metavar="N", help="client processes; default: the sweep's, else 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    arguments = parser.parse_args()
    try:
        return _run(arguments)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    from harness.errors import ConfigError
    from harness.machine import disk, host
    from harness.machine.scratch import scratch
    from harness.selftest.checks import run_checks
    from harness.selftest.needs import Needs

    needs, workers = Needs.default(), 1
    if arguments.overrides:
        from harness.sweeps.composing.compose import compose_sweep

        config = compose_sweep(arguments.overrides)
        needs, workers = Needs.of(config), config.load.workers
    workers = workers if arguments.workers is None else arguments.workers
    if workers < 1:
        raise ConfigError(f"--workers {workers}: at least 1")
    with scratch("selftest") as folder:
        checks = run_checks(needs, workers, folder / "server.log", lambda text: print(text, file=sys.stderr))
    _print(checks)
    able = all(check.ok for check in checks)
    if arguments.json:
        found = {"able": able, "workers": workers, "needs": asdict(needs), "host": host.facts()}
        with disk.naming(arguments.json.parent):
            arguments.json.write_text(
                json.dumps(found | {"checks": [asdict(check) for check in checks]}, indent=1) + "\n"
            )
    hint = "" if able else "; close other programs, raise --workers, or measure from another machine"
    print(f"this machine {'can' if able else 'cannot'} measure what is asked{hint}")
    return 0 if able else 1


def _print(checks: "list[Check]") -> None:
    from rich.table import Table

    table = Table("", "measured", "limit", "")
    for check in checks:
        value = "none" if check.value is None else f"{check.value:,.3g}" if check.value < 100 else f"{check.value:,.0f}"
        name = check.name if check.ok else f"[bold red]{check.name}[/]"
        verdict = "" if not check.limit else "ok" if check.ok else "no"
        table.add_row(name, f"{value} {check.unit}", check.limit, f"{verdict}{' ' * bool(verdict)}{check.note}")
    console(soft_wrap=False, width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    sys.exit(masked_main(main))
