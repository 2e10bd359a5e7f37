"""Compare two sweeps, or two variants, for a person and for CI.

    harness compare results/vllm-0.31 results/vllm-0.32
    harness compare results/quickstart:bf16 results/quickstart:fp8_dynamic --min-recovery 0.99
    harness compare --results results/quickstart bf16 fp8_dynamic --html compare.html
    harness compare results/night_* results/tonight --max-itl-regression p99=0.05 --junit gate.xml

The last folder is the candidate B, all before it are the reference A: one, or a folder for each of several nights (the
candidate's is left out where it is named again). Every variant that both have is compared with its namesake; accuracy
with the newest reference.

Gates. A gate on a speed needs to know how starts of one server differ: 3 or more reference nights, or starts of A and B
in turn (`harness ab`); else it is refused, and what is missing is said. A check fails where the change is estimated
beyond its limit and is shown to be a change for the worse, by a p that is adjusted over all checks together:
equal sides fail in at most 5 % of comparisons. It passes where its whole 95 % interval keeps the limit, and is
inconclusive in between, which counts as a pass, with --strict as a failure (the 5 % hold without it). What A has and B
was to have but has not, and a gate with nothing to check, fail. What each gate is able to find is said below its table.

Exit codes: 0 compared, and no gate failed; 2 a mistake in the command or a folder; 3 a gate failed; 4 no gate failed,
and at least one was refused.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

from harness.compare.arguments import gates_of, parser
from harness.console.output import masked_main
from harness.errors import ConfigError, HarnessError
from harness.redaction.masking import mask

PASS, MISTAKE, FAIL, REFUSAL = 0, 2, 3, 4


def main() -> int:
    arguments = parser(__doc__).parse_args()
    try:
        return compare(arguments, shlex.join(["python", "-m", "harness.compare", *map(mask, sys.argv[1:])]))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE


def compare(arguments: argparse.Namespace, command: str) -> int:
    """Print the comparison, write the files; return the exit code. Raises ConfigError."""
    from harness.compare.files import write_files
    from harness.compare.outcome import compare_groups
    from harness.compare.sides import groups
    from harness.compare.text import comparison_text, conclusion_text, plain

    folders, candidates = arguments.folders, arguments.candidate
    if not candidates:
        *folders, last = folders
        candidates = [last]
        if len(folders) > 1:  # a glob of all nights names tonight's too
            folders = [folder for folder in folders if Path(folder).resolve() != Path(last).resolve()]
    if not folders:
        raise ConfigError("one folder only; name the reference first and the candidate last: results/OLD results/NEW")
    if arguments.results and len(folders) + len(candidates) != 2:
        raise ConfigError("--results takes two variants: --results results/SWEEP A B")
    found = groups(folders, candidates, arguments.results)
    outcome = compare_groups(found, gates_of(arguments), arguments.strict, arguments.power_at, command)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    text = conclusion_text(outcome, colour) + "\n\n".join(
        comparison_text(pair, outcome, colour) for pair in outcome.pairs
    )
    if isinstance(sys.stdout.encoding, str) and sys.stdout.encoding.lower() != "utf-8":
        text = text.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding)
    write_files(arguments, outcome)
    shown = text + (f"\n{plain(outcome.verdict)}" if outcome.verdict else "")
    print(shown, file=getattr(sys.stdout, "styled", sys.stdout), flush=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from harness.compare.annotations import annotations

        print("\n".join(annotations(outcome)), flush=True)
    return FAIL if outcome.failed else REFUSAL if outcome.refused else PASS


if __name__ == "__main__":
    sys.exit(masked_main(main))
