"""Write a sweep file for finished checkpoints: a dense model and its quantized forms.

    harness study meta-llama/Llama-3.1-8B-Instruct RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic
    harness study ./Llama-8B ./Llama-8B-FP8 ./Llama-8B-W4A16 --name llama_8b
    harness study model-F16.gguf model-Q4_K_M.gguf --data pocket

CHECKPOINT is a folder, a hub id (org/name[@revision]) or a FILE.gguf. Exactly one is dense: the baseline. Formats and
labels are read from the files, and the engine is the newest that reads all of them. The file holds the suites,
scenarios and load for this model's size, with comments; the command that runs it is printed. Nothing is measured.

Exit codes: 0 written; 2 not checkpoints of one model, or the file exists already.
"""

import argparse
import json
import sys
from pathlib import Path

from harness.console.arguments import command_parser
from harness.errors import ConfigError, HarnessError


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return study(arguments)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("study", __doc__)
    parser.add_argument("checkpoints", metavar="CHECKPOINT", nargs="+", help="the dense one, and its quantized forms")
    parser.add_argument("--out", type=Path, metavar="FILE", help="conf/sweep/NAME.yaml, or a file in a folder `sweep`")
    parser.add_argument("--name", help="of the study, its results and its report; default: from the dense checkpoint")
    parser.add_argument("--engine", metavar="NAME", help="of conf/engine; default: the newest that reads all of them")
    parser.add_argument(
        "--data", metavar="ROOT", help="evaluation data: a mirror's folder, or pocket; default: the hub, if it answers"
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    return parser


def study(arguments: argparse.Namespace) -> int:
    from harness.draft.drafting import draft_of
    from harness.draft.sweep_file import sweep_text
    from harness.machine import disk
    from harness.sweeps.composing.compose import compose_sweep

    draft, path = draft_of(
        arguments.checkpoints, arguments.name, arguments.out, arguments.engine, arguments.data, arguments.force
    )
    before = path.read_bytes() if path.is_file() else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.write_atomically(path, sweep_text(draft))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another with --out") from None
    try:
        compose_sweep(
            [f"+sweep={draft.sweep}", f"hydra.searchpath=[{json.dumps(path.absolute().parent.parent.as_uri())}]"]
        )
    except HarnessError:  # a draft that does not compose is no sweep
        path.unlink() if before is None else disk.write_atomically(path, before)
        raise
    for variant in (draft.baseline, *draft.others):
        role = "baseline" if variant is draft.baseline else "variant"
        print(f"{role:<9} {variant.name:<20} {variant.label:<16} {variant.found.reference}")
    print(f"engine    {draft.engine.name:<20} {draft.engine.reason}")
    print(f"measures  {', '.join((*draft.contents.suites, *draft.contents.scenarios))}")
    print(f"\nwrote {path}; edit it, then look at the plan, and run it:\n")
    print(f"  {draft.command} dry_run=true\n  {draft.command}")
    return 0
