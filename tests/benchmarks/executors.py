"""How well sessions are packed, and what an executor costs: python tests/benchmarks/executors.py

    --only makespan   five one-GPU variants on eight declared GPUs: the makespan over the longest session and over the
                      planner's estimate
    --only overhead   one declared GPU: a process for each session against this process, and the default against both

Simulated engines and a small model: an engine's time is sleep, so that few cores serve many. Other work on the machine
makes both figures worse. Exit code 1 where a figure is out of its reach.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from chaos_rows.study import make_model
from table import Row, markdown

from harness.console.progress import PlainProgress
from harness.records.store import Store
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.distributed.packed import division
from harness.sweeps.distributed.side_by_side import SideBySide
from harness.sweeps.estimates.estimate import estimates, known_durations
from harness.sweeps.execute import execute
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare
from harness.sweeps.run import Run

FIVE = "variant=[bf16,w4a16,fp8_dynamic,int8_w8a8,sparse24_fp8_magnitude]"
STUDY = (
    *("+sweep=quickstart", "engine=simulated", "on_unsupported=skip", "suite=[]", "judge=null", "noise_runs=0"),
    *("scenario=[rag_256_8]", "load.rates_rps=[4]", "load.repeats=1", "load.capacity.probes=0"),
)
REACH_LONGEST, REACH_ESTIMATE, REACH_OVERHEAD, REACH_START_S = 1.25, 1.15, 1.02, 0.3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("makespan", "overhead"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--duration-s", type=float, default=20.0, help="of the rate: what starts weigh")
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        base = [*STUDY, f"model={make_model(root / 'model')}", f"load.duration_s={arguments.duration_s}"]
        if arguments.only != "overhead":
            rows += makespan(root, base, arguments.repeats)
        if arguments.only != "makespan":
            rows += overhead(root, base, arguments.repeats)
    print(markdown(rows, {"ours": "ours"}))
    return 0 if all(row.ok is not False for row in rows) else 1


def makespan(root: Path, base: list[str], repeats: int) -> list[Row]:
    """The first run only teaches the planner how long phases take here."""
    longest, estimate = list[float](), list[float]()
    for number in range(repeats + 1):
        run = _run(root, f"five{number}", [*base, FIVE, "executor.gpus=[0,1,2,3,4,5,6,7]", "executor.colocate=all"])
        found = division(run.prepared, run.plan, run.store, run.estimates)
        planned_s = found.schedule.makespan_s
        beside = SideBySide(run, {part.task.name: part for part in found.parts})
        beside.measure()
        _check(run)
        took_s = max(s.end_s for s in beside.stays) - min(s.start_s for s in beside.stays)
        if number:
            longest.append(took_s / max(stay.end_s - stay.start_s for stay in beside.stays))
            estimate.append(took_s / planned_s)
            print(f"{took_s:.1f} s, planned {planned_s:.1f} s, {len(beside.stays)} sessions", file=sys.stderr)
    return [
        Row("makespan / longest session", "x", f"{REACH_LONGEST}", {"ours": longest}, max(longest) <= REACH_LONGEST),
        Row("makespan / estimate", "x", f"{REACH_ESTIMATE}", {"ours": estimate}, max(estimate) <= REACH_ESTIMATE),
    ]


def overhead(root: Path, base: list[str], repeats: int) -> list[Row]:
    """`serial` is this process without an executor's setting: what a machine with one GPU does."""
    ways = {"serial": "executor.parallel=1", "default": "executor.parallel=null", "process": "executor.gpus=[0]"}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(repeats):
        for way, setting in ways.items() if number % 2 == 0 else reversed(ways.items()):
            run = _run(root, f"{way}{number}", [*base, "variant=[bf16]", setting])
            began = time.monotonic()
            execute(run)
            took[way].append(time.monotonic() - began)
            _check(run)
            print(f"{way}: {took[way][-1]:.2f} s", file=sys.stderr)
    default = [one / other for one, other in zip(took["default"], took["serial"], strict=True)]
    process_s = [one - other for one, other in zip(took["process"], took["serial"], strict=True)]
    ok = sorted(default)[len(default) // 2] <= REACH_OVERHEAD
    note = "chosen by executor.gpus=[0]: a process starts and plans the sweep again"
    return [
        Row("one GPU by default / serial", "x", f"{REACH_OVERHEAD}", {"ours": default}, ok),
        Row("a session in its own process", "s", "", {"ours": process_s}, None, note),
    ]


def _run(root: Path, name: str, settings: list[str]) -> Run:
    folders = [f"{part}_dir={root / part}" for part in ("results", "reports", "cache")]
    prepared = prepare(compose_sweep([*settings, *folders, f"name={name}"]))
    plan, store = build_plan(prepared), Store(root / "results" / name)
    ahead = estimates(prepared, plan, store, known_durations(prepared, plan, store))
    return Run(prepared, plan, store, PlainProgress(), ahead)


def _check(run: Run) -> None:
    if run.failed or any(cell.fingerprint not in run.store for cell in run.plan.cells):
        raise SystemExit(f"not every cell was measured: {run.failed}")


if __name__ == "__main__":
    sys.exit(main())
