"""Estimated against measured seconds of a finished store's phases: python -m tests.benchmarks.estimates results/NAME

Run it on the machine that measured the store; the store's command is composed anew. Columns: phases; by rules of thumb
alone; as a run would have estimated each once the ones before it were measured; measured; both ratios to what was
measured. Environments, checkpoints and warm-ups follow where the store has logs/phases.jsonl.
"""

import argparse
import shlex
from collections import defaultdict
from pathlib import Path

from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.phases import Phases
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    store = Store(parser.parse_args().store)
    manifest = store.manifest()
    _, _, _, *overrides = shlex.split(manifest.command)  # python -m harness ...
    prepared = prepare(compose.compose_sweep(overrides))
    records = {cell.key: store.record(cell.fingerprint) for cell in manifest.cells if cell.fingerprint in store}
    known = Durations()
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    for phase, seconds in Phases(prepared).measured(build_plan(prepared), records):
        learned = known.learned(phase)
        expected_s = phase.rule_s * (learned.ratio if learned else 1.0)
        kind = f"{phase.kind} {phase.group or phase.subject}".strip()
        for name in (kind, f"= {phase.variant}", "= all"):
            for column, value in enumerate((1, phase.rule_s, expected_s, seconds)):
                sums[name][column] += value
        known.add(phase, seconds)
    print(f"{'':32} {'n':>4} {'rule':>7} {'learned':>7} {'taken':>7} {'ratios':>9}")
    for name, (count, rule, expected, taken) in sums.items():
        row = f"{name:32} {count:4.0f} {rule:7.1f} {expected:7.1f} {taken:7.1f}"
        print(f"{row} {rule / taken:5.2f} {expected / taken:5.2f}")
    for one in store.phases():
        print(f"{one.kind} {one.group} {one.variant}: estimated {one.estimated_s:.1f} s, took {one.seconds:.1f} s")


if __name__ == "__main__":
    main()
