"""The options of `harness compare`, of which `harness ab` has the gates and outputs too."""

import argparse
from pathlib import Path

from harness.analysis.decision.gates import Gates
from harness.console.arguments import command_parser
from harness.records.metrics import SPREAD


def parser(text: str | None) -> argparse.ArgumentParser:
    found = command_parser("compare", text)
    found.add_argument("folders", metavar="FOLDER", nargs="+", help="results/SWEEP or results/SWEEP:VARIANT: the "
                       "reference, of which more nights may be given; the last one is the candidate")  # fmt: skip
    found.add_argument(
        "--candidate", nargs="+", default=[], metavar="FOLDER", help="starts of B; then all FOLDERs are the reference"
    )
    found.add_argument("--results", type=Path, metavar="DIR", help="the two FOLDERs are variants of this sweep")
    add_gates(found)
    add_outputs(found)
    return found


def add_gates(parser: argparse.ArgumentParser) -> None:
    gates = parser.add_argument_group("gates")
    gates.add_argument("--min-recovery", type=_share, metavar="X", help="B's score / A's, average and each suite: 0.99")
    for latency in ("itl", "ttft"):
        gates.add_argument(
            f"--max-{latency}-regression",
            type=_regression,
            action="append",
            default=[],
            metavar="[PART=]X",
            help=f"0.05: {latency.upper()} may rise by 5 %%; p99=0.05: its 99th percentile; may be given again",
        )
    gates.add_argument("--min-throughput-ratio", type=_ratio, metavar="X", help="output tok/s, all at once, B / A")
    gates.add_argument("--min-capacity-ratio", type=_ratio, metavar="X", help="highest rate at the SLO, B / A")
    gates.add_argument("--percentile", choices=SPREAD, default="p50", help="of the latencies; default: p50")
    gates.add_argument("--strict", action="store_true", help="an inconclusive check counts as a failure")
    gates.add_argument(
        "--power-at", type=_size, default=0.08, metavar="X", help="say how often a regression of X is found; 0.08"
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    out = parser.add_argument_group("output")
    out.add_argument("--html", type=Path, metavar="FILE", help="the comparison as a page")
    out.add_argument("--json", type=Path, metavar="FILE", help="the comparison for programs")
    out.add_argument("--junit", type=Path, metavar="FILE", help="the checks as JUnit XML, for Jenkins and GitLab")
    out.add_argument("--markdown", type=Path, metavar="FILE", help='a summary, for "$GITHUB_STEP_SUMMARY"; appended')


def gates_of(arguments: argparse.Namespace) -> Gates:
    def limits(given: list[tuple[str | None, float]]) -> dict[str, float]:
        return {part or arguments.percentile: limit for part, limit in given}

    return Gates(
        arguments.min_recovery,
        limits(arguments.max_itl_regression),
        limits(arguments.max_ttft_regression),
        arguments.min_throughput_ratio,
        arguments.min_capacity_ratio,
    )


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


def _regression(text: str) -> tuple[str | None, float]:
    part, equals, limit = text.rpartition("=")
    if equals and part not in SPREAD:
        raise argparse.ArgumentTypeError(f"{part!r} is not one of {', '.join(SPREAD)}")
    return part or None, _number(limit, -0.99, 10.0, "a change between -0.99 and 10; 5 % is 0.05")


def _size(text: str) -> float:
    return _number(text, 0.001, 0.9, "a change between 0.001 and 0.9; 8 % is 0.08")


def _ratio(text: str) -> float:
    return _number(text, 0.0, 100.0, "a ratio between 0 and 100; 0.95 allows a loss of 5 %")
