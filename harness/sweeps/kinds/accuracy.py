"""Accuracy cells: a suite of a variant; the baseline's suites are asked again, which gives the noise floor."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.accuracy import Context
from harness.machine import scratch
from harness.records import Outcome
from harness.records.cell import Cell, PlannedCell
from harness.sweeps.estimates.pace import Pace
from harness.sweeps.fingerprint import fingerprint
from harness.sweeps.kinds.contract import Bench, Tokens
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import VARIANT, Session

PROMPT_TOKENS = 1000  # of an item, where no cell of the suite has been measured: a rule of thumb
UNKNOWN_ITEMS = 1000  # of a suite that does not know how many it has


class Accuracy:
    session = VARIANT
    times = False
    varies = False

    def plan(self, prepared: Prepared, session: Session, planned: Mapping[str, PlannedCell]) -> Iterator[PlannedCell]:
        config = prepared.config
        shared = {**session.inputs, "concurrency": prepared.concurrency, "seed": config.seed}
        variant = session.variant_name
        runs = 1 + config.noise_runs if variant == config.baseline else 1
        for repeat in range(runs):
            for suite in session.suites:
                inputs = {**shared, "suite": prepared.suite_identities[suite], "tokenizer": prepared.tokenizer}
                key = f"{variant}/{suite}"
                if repeat:
                    inputs, key = {**inputs, "repeat": repeat}, f"{key}/r{repeat}"
                yield PlannedCell(key, "accuracy", variant, fingerprint(inputs), suite, repeat=repeat, inputs=inputs)

    def measure(self, cell: Cell, bench: Bench) -> Outcome:
        with scratch.scratch("suite") as work_dir:
            return bench.prepared.suites[cell.suite_name].run(context(bench, work_dir))

    def seconds(self, cell: Cell, prepared: Prepared, pace: Pace, first: bool) -> float:
        suite = prepared.suites[cell.suite_name]
        items = suite.planned_items() or UNKNOWN_ITEMS
        return pace.suite_s + pace.closed_s(items, *suite.typical_tokens(), prepared.concurrency)

    def tokens(self, cell: Cell, prepared: Prepared) -> Tokens:
        suite = prepared.suites[cell.suite_name]
        items = suite.planned_items() or UNKNOWN_ITEMS
        return items * PROMPT_TOKENS, items * suite.answer_tokens()

    def remark(self, cells: Sequence[Cell], prepared: Prepared) -> str | None:
        return None


def context(bench: Bench, work_dir: Path) -> Context:
    """Return what a suite or a judge works with."""
    prepared = bench.prepared
    return Context(
        server=bench.server,
        tokenizer=bench.tokenizer_location(),
        data_root=prepared.config.data.root,
        seed=prepared.config.seed,
        concurrency=prepared.concurrency,
        work_dir=work_dir,
        progress=bench.advance,
    )
