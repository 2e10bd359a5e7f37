"""Accuracy suites. A suite is one module with one class, and one line in SUITES.

Nothing outside this package knows lm-eval, evalplus or alpaca-eval. A suite asks a server the same questions for
every variant and keeps the answer and the score of each item.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from harness.errors import ConfigError, did_you_mean
from harness.records import Outcome

SUITES = {  # kind -> module:class; imported when used, the libraries behind them are heavy
    "lm_eval": "harness.accuracy.lm_eval.suite:LmEval",
    "humaneval": "harness.accuracy.humaneval.suite:HumanEval",
    "alpaca_eval": "harness.accuracy.alpaca_eval.suite:AlpacaEval",
    "perplexity": "harness.accuracy.perplexity:Perplexity",
}


@dataclass(frozen=True)
class Context:
    """Everything a suite may use while it runs."""

    server: Any  # engines.Server
    tokenizer: str  # directory or hub id of the tokenizer and chat template, the same for every variant
    data_root: str | None  # None (hub), "pocket" or a directory
    seed: int
    concurrency: int
    work_dir: Path  # private to the cell, removed afterwards
    progress: Callable[[int, int], None]  # (done, total)


class Suite(Protocol):
    """`config` is the suite's own dataclass; `name` its key in the sweep."""

    name: str
    config: Any
    judged: bool  # it only gathers answers; a judge's session scores them through `judge`

    def fingerprint(self, data_root: str | None) -> dict[str, Any]:
        """Everything of the suite and its data that can change a result: settings, data digest, library versions."""

    def problems(self, data_root: str | None) -> list[str]:
        """What preflight can say without a model: missing data, no sandbox, ..."""

    def asks(self) -> frozenset[str]:
        """What it needs of a server beyond completions, in the words of engines/dialect.py; optional."""

    def planned_items(self) -> int | None:
        """How many items will be asked, where it is known."""

    def run(self, context: Context) -> Outcome: ...

    def judge_fingerprint(self, judge: Any) -> dict[str, Any]:
        """Only where `judged`: what decides a verdict beside the judge's weights and the answers."""

    def judge_calls(self, data_root: str | None, judge: Any, calibrated: bool) -> Any:
        """Only where `judged`: calls, prompt_tokens and completion_tokens of a judge cell, at most."""

    def judge(self, context: Context, judge: Any, rows: list[dict], baseline_rows: list[dict]) -> Outcome:
        """Only where `judged`: scores the answers of `rows`; `context.server` is the judge's."""


def suite_class(kind: str) -> type:
    if kind not in SUITES:
        raise ConfigError(f"unknown suite kind {kind!r}{did_you_mean(kind, list(SUITES))}")
    module, name = SUITES[kind].split(":")
    return getattr(import_module(module), name)
