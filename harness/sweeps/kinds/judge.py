"""Judge cells: the answers of a variant to a suite that only gathers answers, judged in a session of the judge."""

from collections.abc import Iterator, Mapping, Sequence

from harness.accuracy.suite import JudgeCalls
from harness.config.judge import judge_of
from harness.errors import CellError
from harness.machine import scratch
from harness.records import Outcome
from harness.records.cell import Cell, PlannedCell
from harness.records.item import Item
from harness.sweeps.estimates.pace import Pace
from harness.sweeps.fingerprint import fingerprint
from harness.sweeps.kinds.accuracy import context
from harness.sweeps.kinds.contract import Bench, Tokens
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import JUDGE, Session


class Judge:
    session = JUDGE
    times = False
    varies = False

    def plan(self, prepared: Prepared, session: Session, planned: Mapping[str, PlannedCell]) -> Iterator[PlannedCell]:
        """Yield one a variant for each suite; a deployment has none, which reuses its head's answers."""
        baseline = prepared.config.baseline
        for suite in session.suites:
            against_baseline = prepared.judged[suite].against_baseline
            for variant in prepared.order:
                if f"{variant}/{suite}" not in planned or (against_baseline and variant == baseline):
                    continue  # the baseline's win rate against itself is one half by definition
                inputs = {"variant": variant, **session.inputs, "seed": prepared.config.seed}
                inputs |= {"suite": prepared.suite_identities[suite], "judging": prepared.judging[suite]}
                inputs["answers"] = planned[f"{variant}/{suite}"].fingerprint
                if against_baseline:
                    inputs["reference"] = planned[f"{baseline}/{suite}"].fingerprint
                key = f"{variant}/{suite}/judge"
                yield PlannedCell(key, "judge", variant, fingerprint(inputs), suite, inputs=inputs)

    def measure(self, cell: Cell, bench: Bench) -> Outcome:
        config = bench.prepared.config
        answers = {name: bench.cells[f"{name}/{cell.suite}"] for name in (cell.variant, config.baseline)}
        for needed in answers.values():
            if needed.fingerprint not in bench.store:
                raise CellError(f"{needed.key} has no answers to judge; see its own failure")
        items = {
            name: [Item.from_json(row) for row in bench.store.rows(one.fingerprint)] for name, one in answers.items()
        }
        suite = bench.prepared.judged[cell.suite_name]
        with scratch.scratch("suite") as work_dir:
            return suite.judge(context(bench, work_dir), judge_of(config), items[cell.variant], items[config.baseline])

    def seconds(self, cell: Cell, prepared: Prepared, pace: Pace, first: bool) -> float:
        asked = self._asked(cell, prepared, first)
        if judge_of(prepared.config).base_url:
            return pace.suite_s + asked.calls * pace.judgement_s
        calls = max(1, asked.calls)
        suite = prepared.judged[cell.suite_name]
        share = suite.typical_tokens()[1] / suite.answer_tokens()  # `asked` counts answers as long as they may be
        prompt, completion = share * asked.prompt_tokens / calls, asked.completion_tokens / calls
        return pace.suite_s + pace.closed_s(calls, prompt, completion, prepared.concurrency)

    def tokens(self, cell: Cell, prepared: Prepared) -> Tokens:
        if judge_of(prepared.config).base_url:
            return 0.0, 0.0  # it has a separate price
        asked = self._asked(cell, prepared, True)
        return asked.prompt_tokens, asked.completion_tokens

    def remark(self, cells: Sequence[Cell], prepared: Prepared) -> str | None:
        judge = judge_of(prepared.config)
        first = {cell.suite: cell.key for cell in reversed(cells)}
        asked = [self._asked(cell, prepared, first[cell.suite] == cell.key) for cell in cells]
        calls, prompt, completion = (
            sum(getattr(one, name) for one in asked) for name in ("calls", "prompt_tokens", "completion_tokens")
        )
        text = f"at most {calls:,} calls of the judge, its trial on known pairs included: "
        text += f"up to about {prompt:,} prompt tokens, 4 characters each, and {completion:,} completion tokens"
        if judge.base_url:
            text += f"; {judge.endpoint_model} at an endpoint may charge for them"
        return text

    def _asked(self, cell: Cell, prepared: Prepared, first: bool) -> JudgeCalls:
        """Return the calls and tokens of a cell; the first of a suite also tries the judge on known pairs."""
        suite = prepared.judged[cell.suite_name]
        return suite.judge_calls(prepared.config.data.root, judge_of(prepared.config), not first)
