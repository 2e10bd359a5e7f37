"""Write a sweep's report again, from its store. It needs no engine and no network.

    harness report results/quickstart
    harness report results/quickstart --out shared/quickstart

Exit codes: 0 written, 2 not a results folder, or the report cannot be written.
"""

import sys
from pathlib import Path

from harness.console.arguments import command_parser
from harness.console.output import masked_main, warn_of_damage
from harness.errors import ConfigError, HarnessError
from harness.machine import disk
from harness.untrusted.names import folder_for, name_problem


def main() -> int:
    parser = command_parser("report", __doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS_DIR", help="a sweep's folder, like results/quickstart")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: reports/NAME, NAME being the folder's")
    arguments = parser.parse_args()
    from harness.analysis.load_study import load_study
    from harness.report import write_report

    try:
        study = load_study(arguments.results)
        warn_of_damage(arguments.results, study.damaged, "left out of the report; the sweep's command repairs it")
        out = arguments.out or _default(study.name)
        with disk.among(out):
            print(write_report(study, out))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write the report: {error}", file=sys.stderr)
        return 2
    return 0


def _default(name: str) -> Path:
    """reports/NAME, of the store's folder: what its files say decides no place."""
    if problem := name_problem(name):
        raise ConfigError(f"folder name {name[:60]!r} cannot name a report: {problem}; rename it, or give --out DIR")
    return folder_for(Path("reports"), name, "give --out {} to write there")


if __name__ == "__main__":
    sys.exit(masked_main(main))
