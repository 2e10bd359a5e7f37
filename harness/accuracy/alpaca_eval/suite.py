"""AlpacaEval, first half: a variant's answers to open instructions. Judging them is a separate cell (judge.py).

AlpacaEval: Li et al. 2023, github.com/tatsu-lab/alpaca_eval (805 instructions; reference answers of a strong model).
Answers are greedy, through the chat template. Their rows carry no score: a judge compares them later with the
baseline's answers or with a published reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.accuracy import Context, JudgedSuite
from harness.accuracy.alpaca_eval.calibration import calibrate
from harness.accuracy.alpaca_eval.judge import judge_fingerprint, run_judge
from harness.accuracy.alpaca_eval.judge_prompts import ANSWER_CHARS, INSTRUCTION_CHARS, KINDS, template
from harness.accuracy.alpaca_eval.references import (
    HUB,
    HUB_POPULATION,
    HUB_REFERENCES,
    Reference,
    load_references,
    not_cached,
    strong_and_weak,
)
from harness.accuracy.completions import completion
from harness.accuracy.datasets import Source, source, unreachable_hub
from harness.accuracy.generation import request_many
from harness.accuracy.items import answer_of, check_items, count_answers, digest, outcome, subset, truncation_flags
from harness.accuracy.reasoning import answer_flags
from harness.accuracy.suite import Facts, JudgeCalls
from harness.accuracy.text_prompts import end_of, sendable
from harness.accuracy.token_prompts import chat_ids
from harness.config.schema import Judge
from harness.errors import CellError, did_you_mean
from harness.records import Outcome
from harness.records.accuracy_result import AccuracyResult, DataRef
from harness.records.item import Item
from harness.records.judge_details import Calibration, Standing
from harness.text.tokenizer import load_tokenizer

BASELINE = "baseline"
PROMPT_TOKENS = 60.0  # of an item, with the chat template, for estimates of time
CHARS_PER_TOKEN = 4  # an estimate, for the plan
MEAN_INSTRUCTION_CHARS = 165  # of AlpacaEval's 805


@dataclass
class AlpacaEvalConfig:
    kind: str = "alpaca_eval"
    items: int | None = None  # a random subset drawn with the sweep's seed; null: all
    max_tokens: int = 512  # of an answer
    reference: str = BASELINE  # judged against the baseline variant's answers, or a reference of the data by name


class AlpacaEval(JudgedSuite):
    Config = AlpacaEvalConfig
    config: AlpacaEvalConfig

    def __init__(self, name: str, config: AlpacaEvalConfig):
        check_items(name, config.items)
        super().__init__(name, config)
        self._calibrations: dict[tuple, Calibration] = {}  # a judge is validated once, not once a variant

    def fingerprint(self, data_root: str | None) -> Facts:
        return {
            "kind": "alpaca_eval",
            "items": self.config.items,
            "max_tokens": self.config.max_tokens,
            "data": self._source(data_root).digest(),
        }

    def problems(self, data_root: str | None) -> list[str]:
        data = self._source(data_root)
        found = data.problems("*.json")
        if not found and data.directory is not None:
            try:
                self.reference_answers(data_root)
            except CellError as error:
                found = [str(error)]
        elif not found and self.config.reference not in (BASELINE, *HUB_REFERENCES):
            known = did_you_mean(self.config.reference, list(HUB_REFERENCES))
            found = [f"unknown reference {self.config.reference!r}{known}"]
        if data.directory is None and (reason := unreachable_hub(HUB) or not_cached()):
            found.append(f"{reason}, or set data.root to a mirror or to pocket")
        return [f"suite {self.name}: {problem}" for problem in found]

    def planned_items(self) -> int | None:
        return self.config.items

    def answer_tokens(self) -> int:
        return self.config.max_tokens

    def typical_tokens(self) -> tuple[float, float]:
        return PROMPT_TOKENS, super().typical_tokens()[1]

    def run(self, context: Context) -> Outcome:
        data = self._source(context.data_root)
        population = load_references(data)
        chosen = subset(population, self.config.items, context.seed)
        tokenizer = load_tokenizer(context.tokenizer)
        prompts = [chat_ids(tokenizer, item.instruction) for item in chosen]
        answers = request_many(
            context.server,
            "/v1/completions",
            [
                {"prompt": prompt, "max_tokens": self.config.max_tokens, "temperature": 0.0}
                for prompt in sendable(context.server, tokenizer, prompts)
            ],
            concurrency=context.concurrency,
            progress=context.progress,
        )
        items = []
        for reference, ids, said in zip(chosen, prompts, map(completion, answers), strict=True):
            answer = answer_of(said, end_of(tokenizer, ids))
            items.append(
                Item(
                    id=reference.id,
                    group=reference.group,
                    doc_hash=reference.doc_hash,
                    instruction=reference.instruction,
                    prompt_hash=digest(ids),
                    **vars(replace(answer, response=answer.response.strip())),
                )
            )
        return self._outcome(items, data.reference(len(population)))

    @property
    def against_baseline(self) -> bool:
        return self.config.reference == BASELINE

    def judge_fingerprint(self, judge: Judge) -> Facts:
        return judge_fingerprint(judge, reference=self.config.reference)

    def judge(self, context: Context, judge: Judge, answers: Sequence[Item], baseline: Sequence[Item]) -> Outcome:
        """The judge is calibrated on the data's answers, to any of its instructions."""
        data = self._source(context.data_root)
        published = self.reference_answers(context.data_root)
        key = (context.server.base_url, context.server.model, judge.prompt, judge.calibration_items, context.seed)
        if key not in self._calibrations:
            strong, weak, standing = self.calibration_answers(context.data_root)
            self._calibrations[key] = calibrate(context, judge, strong, context.seed, weak, standing)
        return run_judge(
            context,
            judge,
            answers,
            baseline if self.against_baseline else published,
            calibration=self._calibrations[key],
            reference=self.config.reference,
            data=data.reference(len(published)),
        )

    def judge_calls(self, data_root: str | None, judge: Judge, calibrated: bool) -> JudgeCalls:
        local = self._source(data_root).directory is not None and not self.problems(data_root)
        known = self.reference_answers(data_root) if local else []
        population = len(known) or HUB_POPULATION
        items = min(self.config.items or population, population)
        kinds = len(KINDS) - (1 if local and not self.calibration_answers(data_root)[1] else 0)  # published needs two
        pairs_known = 0 if calibrated else kinds * min(judge.calibration_items, population)
        instruction = sum(len(row.instruction) for row in known) / len(known) if known else MEAN_INSTRUCTION_CHARS
        limit = ANSWER_CHARS[judge.prompt]
        answer = min(self.config.max_tokens * CHARS_PER_TOKEN, limit)
        published = sum(min(len(r.response), limit) for r in known) / len(known) if known else limit
        reference = answer if self.against_baseline else published
        fixed = len(template(judge.prompt)) + min(instruction, INSTRUCTION_CHARS[judge.prompt])
        chars = 2 * items * (fixed + answer + reference) + 2 * pairs_known * (fixed + 2 * published)
        calls = 2 * (items + pairs_known)
        return JudgeCalls(calls, round(chars / CHARS_PER_TOKEN), calls)

    def calibration_answers(
        self, data_root: str | None
    ) -> tuple[Sequence[Reference], Sequence[Reference], Standing | None]:
        """Answers to calibrate a judge on, a weaker reference's answers to the same instructions (or none), and where
        it is published which is the weaker."""
        return strong_and_weak(self._source(data_root)) or (self.reference_answers(data_root), [], None)

    def reference_answers(self, data_root: str | None) -> list[Reference]:
        """Answers to every instruction: what a judge compares with, or is calibrated on.

        Those of the configured reference or, where that is the baseline, of the first that the data has.
        """
        return load_references(self._source(data_root), None if self.against_baseline else self.config.reference)

    def _outcome(self, items: Sequence[Item], data: DataRef) -> Outcome:
        counts = count_answers(len(items), items)
        result = AccuracyResult(
            primary="win_rate",
            scores={},
            counts=counts,
            data=data,
            details={
                "prompt": "chat template",
                "decoding": f"greedy, at most {self.config.max_tokens} tokens",
                "reference": self.config.reference,
                "mean_length_chars": sum(len(item.response) for item in items) / len(items),
            },
        )
        flags = truncation_flags(counts, self.config.max_tokens)
        return outcome(result, items, flags + answer_flags(items, f"suites.{self.name}.max_tokens"))

    def _source(self, data_root: str | None) -> Source:
        return source(data_root, "alpaca_eval", HUB)
