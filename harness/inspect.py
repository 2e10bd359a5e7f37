"""Show what is in a checkpoint's files, and whether an engine can read them.

    harness inspect ./Llama-3.1-8B-FP8 --variant fp8_dynamic
    harness inspect RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8 --engine vllm==0.18.1
    harness inspect org/name@revision --json

CHECKPOINT is a directory or a hub id (org/name[@revision]), read by range requests. Exit codes: 0 it is what it claims
to be, and the engine can read it; 1 it is not, or the engine cannot; 2 it is no checkpoint, or not within reach.
"""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.errors import HarnessError, did_you_mean

if TYPE_CHECKING:
    from harness.config.variants import Variant


def main() -> int:
    parser = command_parser("inspect", __doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a directory, or a hub id: org/name[@revision]")
    parser.add_argument(
        "--variant", metavar="NAME", help="the catalogue's variant that it should be, like sparse24_fp8"
    )
    parser.add_argument("--engine", metavar="KIND==VERSION", help="can this engine read it? like vllm==0.18.1")
    parser.add_argument("--exact", action="store_true", help="every weight, however large the checkpoint")
    parser.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args()
    try:
        return inspect(arguments)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def inspect(arguments: argparse.Namespace) -> int:
    from harness.checkpoints.inspection import inspect_checkpoint
    from harness.checkpoints.inspection.problems import grouped
    from harness.checkpoints.inspection.reading import parse_engine, read_by
    from harness.checkpoints.inspection.text import as_data, render

    variant = _variant(arguments.variant) if arguments.variant else None
    engine = parse_engine(arguments.engine) if arguments.engine else None
    location, revision = arguments.checkpoint, None
    if not location.startswith(("/", "./", "../", "~")):
        location, _, revision = location.partition("@")
    found = inspect_checkpoint(location, revision or None, True if arguments.exact else None)
    problems = list(found.problems)
    if variant is not None:
        from harness.checkpoints.inspection.variant import against

        problems += against(found, arguments.variant, variant)
    reading = read_by(engine, location, revision or None) if engine else None
    faults = grouped(problems + (reading.problems if reading else []))
    if arguments.json:
        said = {"engine": {"name": engine.name, "says": reading.says}} if engine and reading else {}
        print(json.dumps(as_data(found, faults) | said, indent=1))
    else:
        print(render(found, faults))
        if engine and reading:
            print(f"{engine.name}: {reading.says}")
    return 1 if any(fault.level == "error" for fault in faults) else 0


def _variant(name: str) -> "Variant":
    from harness.config.catalogue import variants

    catalogue = variants()
    if name not in catalogue:
        raise HarnessError(f"no variant {name!r}{did_you_mean(name, list(catalogue))}")
    return catalogue[name]


if __name__ == "__main__":
    sys.exit(masked_main(main))
