"""What a suite is: the one contract between accuracy/ and everything that plans, checks and runs suites."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.config.schema import Judge
from harness.engines import Server
from harness.records import Outcome
from harness.records.item import Item

Facts = dict[str, Any]  # JSON: what decides a result, and nothing else
ITEM_PROMPT_TOKENS = 300.0  # pocket suites have 50 (AlpacaEval) to 310 (GSM8K, 3-shot)
ANSWER_SHARE, LONG_ANSWER = 0.6, 400.0  # of the limit of an answer; tokens of one that ends by itself
ECHO = 2.5  # tokens that one prompt token costs where its log-probability is asked for too


@dataclass(frozen=True)
class Context:
    """Everything a suite may use while it runs."""

    server: Server
    tokenizer: str  # directory or hub id of the tokenizer and chat template, the same for every variant
    data_root: str | None  # None (hub), "pocket" or a directory
    seed: int
    concurrency: int
    work_dir: Path  # private to the cell, removed afterwards
    progress: Callable[[int, int], None]  # (done, total)


class Suite(ABC):
    """A suite asks a server the same questions for every variant and keeps the answer and the score of each item."""

    Config: ClassVar[type]  # dataclass of its settings; `kind` names the suite's kind
    per_item: ClassVar[bool] = True  # False: it scores a text, and its distance to the baseline's is compared

    def __init__(self, name: str, config: Any):
        """`name`: its key in the sweep. Raises ConfigError for a setting that cannot be."""
        self.name, self.config = name, config

    @abstractmethod
    def fingerprint(self, data_root: str | None) -> Facts:
        """Everything of the suite and its data that can change a result: settings, data digest, library versions."""

    @abstractmethod
    def run(self, context: Context) -> Outcome: ...

    def problems(self, data_root: str | None) -> list[str]:
        """What preflight can say without a model: missing data, no sandbox, ..."""
        return []

    def asks(self) -> frozenset[str]:
        """What it needs of a server beyond completions, in the words of engines/dialect.py."""
        return frozenset()

    def planned_items(self) -> int | None:
        """How many answers will be asked, where it is known."""
        return None

    def answer_tokens(self) -> int:
        """Tokens of an answer, at most."""
        return 1

    def typical_tokens(self) -> tuple[float, float]:
        """Tokens of an item's prompts and of its answers by a rule of thumb: what it costs a server in time."""
        return ITEM_PROMPT_TOKENS, min(ANSWER_SHARE * self.answer_tokens(), LONG_ANSWER)

    def longest_request(self) -> int:
        """Tokens of the server's context that a request takes, where that is known without a tokenizer; else 0."""
        return 0


@dataclass(frozen=True)
class JudgeCalls:
    """What a judge cell asks, at most."""

    calls: int
    prompt_tokens: int
    completion_tokens: int


class JudgedSuite(Suite):
    """A suite whose cells only gather answers; a judge's session scores them in separate cells, through `judge`."""

    @property
    @abstractmethod
    def against_baseline(self) -> bool:
        """Whether the answers are compared with the baseline's, which then needs no judge cell."""

    @abstractmethod
    def judge_fingerprint(self, judge: Judge) -> Facts:
        """What decides a verdict beside the judge's weights and the answers."""

    @abstractmethod
    def judge_calls(self, data_root: str | None, judge: Judge, calibrated: bool) -> JudgeCalls:
        """`calibrated`: an earlier cell of the same run has validated the judge."""

    @abstractmethod
    def judge(self, context: Context, judge: Judge, answers: Sequence[Item], baseline: Sequence[Item]) -> Outcome:
        """Score the answers of a variant; `baseline` has the baseline's, `context.server` is the judge's."""
