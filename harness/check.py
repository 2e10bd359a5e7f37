"""Verify a sweep's folder, and set aside what is damaged.

    harness check results/quickstart            read every file, name each problem
    harness check results/quickstart --repair   move what is damaged into cells/.damaged

Each file is compared with its digest, each record with its rows. Stores written before digests existed (schema 1) are
checked by what their files say. Earlier tries of cells that were measured again are listed. After --repair the sweep's
command measures again what was set aside, and nothing else.
Exit codes: 0 whole, or repaired; 1 damaged; 2 not a results folder, or one of a newer harness.
"""

import os
import sys
from pathlib import Path

from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.errors import ConfigError, HarnessError
from harness.records import Damage
from harness.records.record import Record

MANIFEST = "sweep.json"


def main() -> int:
    parser = command_parser("check", __doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS_DIR", help="a sweep's folder, like results/quickstart")
    parser.add_argument(
        "--repair", action="store_true", help="set aside what is damaged, for the sweep to measure again"
    )
    arguments = parser.parse_args()
    try:
        return check(arguments.results, arguments.repair)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def check(results: Path, repair: bool) -> int:
    """Print a line for each problem and a summary. Return the exit code. Raises ConfigError."""
    from harness.records.store import Store

    store = Store(results)
    if not (store.cells.is_dir() or (results / MANIFEST).exists()):
        raise ConfigError(f"{results} is not the folder of a sweep; name one, like results/quickstart")
    cells, problems = store.check(), [f"{results}/{damage}" for damage in store.damages]
    for record in store.earlier_tries():
        print(_earlier_try(record))
    written = os.path.lexists(results / MANIFEST)
    problems += [] if written else [f"{results}/{MANIFEST} is missing"]
    print("\n".join([*problems, f"{results}: {_count(cells, 'cell')}, {_count(len(problems), 'problem')}"]))
    if not problems:
        return 0
    again = "run the sweep's command again"
    moved: tuple[Damage, ...] = ()
    if repair:
        with store.locked():
            moved = store.set_aside()
    if moved:
        print(
            f"{_count(len(moved), 'item')} set aside in {store.cells / '.damaged'}; {again} to measure these cells anew"
        )
    left = len(problems) - len(moved)
    if left:
        print(f"{_count(left, 'problem')} left; {again}{'' if repair else ', or use --repair'}")
    return 1 if left else 0


def _earlier_try(record: Record) -> str:
    why = "; ".join(f"{flag.code}: {flag.message}" for flag in record.invalid)
    return f"{record.cell.key}: earlier try, of {record.started_at}, {f'invalid ({why})' if why else 'valid'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(masked_main(main))
