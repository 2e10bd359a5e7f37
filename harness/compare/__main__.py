"""Compare two sweeps, or two variants, for a person and for CI.

    harness compare results/vllm-0.31 results/vllm-0.32 --max-itl-regression 0.05
    harness compare results/quickstart:bf16 results/quickstart:fp8_dynamic --min-recovery 0.99
    harness compare --results results/quickstart bf16 fp8_dynamic --html compare.html

A is the reference. Two folders: every variant that both have is compared with its namesake.

Gates. Where there is a 95 % interval, a gate fails when the whole interval violates the limit, passes when the whole
interval keeps it, and is inconclusive in between, which does not fail unless --strict is given. Without an interval
(one run each) the value decides; --strict takes only what an interval shows. What A has and B was to have but has not,
and a gate with nothing to check, fail. Exit codes: 0 compared, all gates passed; 2 a mistake; 3 a gate failed.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import harness
from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.errors import ConfigError, HarnessError
from harness.machine import disk
from harness.records.metrics import SPREAD
from harness.redaction.masking import mask


def main() -> int:
    arguments = _parser().parse_args()
    try:
        failed = compare(arguments, shlex.join(["python", "-m", "harness.compare", *map(mask, sys.argv[1:])]))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 3 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("compare", __doc__)
    parser.add_argument("a", metavar="A", help="the reference: results/SWEEP or results/SWEEP:VARIANT")
    parser.add_argument("b", metavar="B", help="what is held against it")
    parser.add_argument("--results", type=Path, metavar="DIR", help="A and B are variants of this sweep")
    gates = parser.add_argument_group("gates")
    gates.add_argument("--min-recovery", type=_share, metavar="X", help="B's score / A's, average and each suite: 0.99")
    for latency in ("itl", "ttft"):
        gates.add_argument(
            f"--max-{latency}-regression", type=_change, metavar="X", help=f"0.05: {latency.upper()} may rise by 5 %%"
        )
    gates.add_argument("--min-throughput-ratio", type=_ratio, metavar="X", help="output tok/s, all at once, B / A")
    gates.add_argument("--min-capacity-ratio", type=_ratio, metavar="X", help="highest rate at the SLO, B / A")
    gates.add_argument("--percentile", choices=SPREAD, default="p50", help="of the latencies; default: p50")
    gates.add_argument("--strict", action="store_true", help="inconclusive fails, and so does what has no interval")
    out = parser.add_argument_group("output")
    out.add_argument("--html", type=Path, metavar="FILE", help="the comparison as a page")
    out.add_argument("--json", type=Path, metavar="FILE", help="the comparison for programs")
    return parser


def compare(arguments: argparse.Namespace, command: str) -> bool:
    """Prints the comparison, writes the files; True when a gate failed. Raises ConfigError."""
    from harness.analysis.comparison import compare_sides
    from harness.analysis.decision.gates import Gates, checks
    from harness.compare.sides import pairs
    from harness.compare.text import comparison_text, plain

    gates = Gates(**{name: getattr(arguments, name) for name in Gates.__dataclass_fields__})
    margin = None if gates.min_recovery is None else max(0.0, 1 - gates.min_recovery)
    compared = []
    for a, b in pairs(arguments.a, arguments.b, arguments.results):
        comparison = compare_sides(a, b, margin, command)
        compared.append((comparison, checks(comparison, gates)))
    made = [check for _, found in compared for check in found]
    failing = [check for check in made if check.failed(arguments.strict)]
    verdict = _verdict(len(made), len(failing), sum(check.status == "inconclusive" for check in made))
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    text = "\n\n".join(comparison_text(comparison, found, colour) for comparison, found in compared)
    if isinstance(sys.stdout.encoding, str) and sys.stdout.encoding.lower() != "utf-8":
        text = text.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding)
    _files(arguments, compared, verdict, bool(failing), command)
    shown = text + (f"\n{plain(verdict)}" if verdict else "")
    print(shown, file=getattr(sys.stdout, "styled", sys.stdout), flush=True)
    return bool(failing)


def _verdict(made: int, failing: int, inconclusive: int) -> str:
    if not made:
        return ""
    unsure = f", {inconclusive} inconclusive" if inconclusive else ""
    if failing:
        return f"FAILED: {failing} of {made} checks failed{unsure}"
    return f"passed: none of {made} checks failed{unsure}"


def _files(arguments: argparse.Namespace, compared: list, verdict: str, failed: bool, command: str) -> None:
    from harness.machine.disk import write_atomically

    try:
        if arguments.json:
            from harness.compare.data import comparison_json

            _write(
                arguments.json, comparison_json(compared, verdict, failed, arguments.strict, command), write_atomically
            )
        if arguments.html:
            from harness.report.pages.comparison import render_comparison

            page = render_comparison(compared, verdict, failed, command, harness.__version__)
            _write(arguments.html, page, write_atomically)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or 'the output'}: {error.strerror or error}") from None


def _write(path: Path, text: str, write: Callable[[Path, str], None]) -> None:
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: {path.parent} is no folder; make it first")
    with disk.naming(path.parent):
        write(path, text.encode("utf-8", errors="replace").decode())


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def _share(text: str) -> float:
    return _number(text, 0.0, 2.0, "a recovery between 0 and 2; 99 % is 0.99")


def _change(text: str) -> float:
    return _number(text, -0.99, 10.0, "a change between -0.99 and 10; 5 % is 0.05")


def _ratio(text: str) -> float:
    return _number(text, 0.0, 100.0, "a ratio between 0 and 100; 0.95 allows a loss of 5 %")


if __name__ == "__main__":
    sys.exit(masked_main(main))
