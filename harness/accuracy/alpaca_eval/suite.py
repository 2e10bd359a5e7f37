"""AlpacaEval, first half: a variant's answers to open instructions. Judging them is a cell of its own (judge.py).

AlpacaEval: Li et al. 2023, github.com/tatsu-lab/alpaca_eval (805 instructions; reference answers of a strong model).
Answers are greedy, through the chat template. Their rows carry no score: a judge compares them later with the
baseline's answers or with a published reference.
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.accuracy import Context
from harness.accuracy.completions import UNREADABLE, completion
from harness.accuracy.data_files import DataError, read_json
from harness.accuracy.datasets import Source, source, unreachable_hub
from harness.accuracy.generation import request_many
from harness.accuracy.humaneval.suite import subset
from harness.accuracy.reasoning import answer_flags, mark
from harness.accuracy.text_prompts import end_of, sendable
from harness.accuracy.token_prompts import chat_ids, digest
from harness.config.schema import Judge
from harness.errors import CellError, ConfigError, did_you_mean
from harness.hub import access, cache
from harness.hub.commits import DATASET, commit_of
from harness.hub.failures import Place
from harness.hub.waiting import bound
from harness.records import Outcome
from harness.records.flag import Flag
from harness.text.tokenizer import load_tokenizer

HUB = "tatsu-lab/alpaca_eval"
# Answers of gpt4_1106_preview and text_davinci_003; the hub's loading script is refused by datasets >= 4.
HUB_FILES = ("alpaca_eval_gpt4_baseline.json", "alpaca_eval.json")
HUB_REFERENCES = ("gpt4_1106_preview", "text_davinci_003")
HUB_POPULATION = 805
ANSWER = ("instruction", "output")  # what an item of the data has, beside its generator
BASELINE = "baseline"
LEADERBOARD = "leaderboards/data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv"  # in the package alpaca-eval
FAR_APART = 20.0  # points of win rate between a strong and a weak reference
CHARS_PER_TOKEN = 4  # an estimate, for the plan
MEAN_INSTRUCTION_CHARS = 165  # of AlpacaEval's 805


@dataclass
class AlpacaEvalConfig:
    kind: str = "alpaca_eval"
    items: int | None = None  # a random subset drawn with the sweep's seed; null: all
    max_tokens: int = 512
    reference: str = BASELINE  # judged against the baseline variant's answers, or a reference of the data by name


class AlpacaEval:
    Config = AlpacaEvalConfig
    judged = True

    def __init__(self, name: str, config: AlpacaEvalConfig):
        if config.items is not None and config.items < 1:
            raise ConfigError(f"suite {name}: items must be at least 1 or null: {config.items}")
        self.name, self.config = name, config
        self._calibrations: dict[tuple, dict[str, Any]] = {}  # a judge is tried once, not once a variant

    def fingerprint(self, data_root: str | None) -> dict[str, Any]:
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
                self.reference_rows(data_root)
            except CellError as error:
                found = [str(error)]
        elif not found and self.config.reference not in (BASELINE, *HUB_REFERENCES):
            known = did_you_mean(self.config.reference, list(HUB_REFERENCES))
            found = [f"unknown reference {self.config.reference!r}{known}"]
        if data.directory is None and (reason := unreachable_hub(HUB) or _not_cached()):
            found.append(f"{reason}, or set data.root to a mirror or to pocket")
        return [f"suite {self.name}: {problem}" for problem in found]

    def planned_items(self) -> int | None:
        return self.config.items

    def run(self, context: Context) -> Outcome:
        data = self._source(context.data_root)
        population = load_instructions(data)
        chosen = subset(population, self.config.items, context.seed)
        tokenizer = load_tokenizer(context.tokenizer)
        prompts = [chat_ids(tokenizer, item["instruction"]) for item in chosen]
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
        rows = []
        for item, ids, answer in zip(chosen, prompts, map(completion, answers), strict=True):
            row = {
                **{key: item[key] for key in ("id", "group", "doc_hash", "instruction")},
                "prompt_hash": digest(ids),
                "scores": {},
                "response": answer.text.strip(),
                "finish_reason": answer.finish_reason,
                "completion_tokens": answer.completion_tokens,
            }
            rows.append(mark(row, end_of(tokenizer, ids)))
        return self._outcome(rows, data, len(population))

    def judge_fingerprint(self, judge: Judge) -> dict[str, Any]:
        from harness.accuracy.alpaca_eval.judge import judge_fingerprint

        return judge_fingerprint(judge, reference=self.config.reference)

    def judge(
        self, context: Context, judge: Judge, rows: list[dict[str, Any]], baseline_rows: list[dict[str, Any]]
    ) -> Outcome:
        """`context.server` is the judge's. It is calibrated on the data's answers, to any of its instructions."""
        from harness.accuracy.alpaca_eval.judge import calibrate, run_judge

        data = self._source(context.data_root)
        published = self.reference_rows(context.data_root)
        key = (context.server.base_url, context.server.model, judge.prompt, judge.calibration_items, context.seed)
        if key not in self._calibrations:
            strong, weak, standing = self.calibration_rows(context.data_root)
            self._calibrations[key] = calibrate(context, judge, strong, context.seed, weak, standing)
        against_baseline = self.config.reference == BASELINE
        return run_judge(
            context,
            judge,
            rows,
            baseline_rows if against_baseline else published,
            calibration=self._calibrations[key],
            reference=self.config.reference,
            data=_data(data, len(published)),
        )

    def judge_calls(self, data_root: str | None, judge: Judge, calibrated: bool) -> "JudgeCalls":
        """What one judge cell will ask, at most. `calibrated`: an earlier cell of the same run has done that."""
        from harness.accuracy.alpaca_eval.judge_prompts import ANSWER_CHARS, INSTRUCTION_CHARS, KINDS, template

        local = self._source(data_root).directory is not None and not self.problems(data_root)
        known = self.reference_rows(data_root) if local else []
        population = len(known) or HUB_POPULATION
        items = min(self.config.items or population, population)
        kinds = len(KINDS) - (1 if local and not self.calibration_rows(data_root)[1] else 0)  # published needs two
        pairs_known = 0 if calibrated else kinds * min(judge.calibration_items, population)
        instruction = sum(len(row["instruction"]) for row in known) / len(known) if known else MEAN_INSTRUCTION_CHARS
        limit = ANSWER_CHARS[judge.prompt]
        answer = min(self.config.max_tokens * CHARS_PER_TOKEN, limit)
        published = sum(min(len(r["response"]), limit) for r in known) / len(known) if known else limit
        reference = answer if self.config.reference == BASELINE else published
        fixed = len(template(judge.prompt)) + min(instruction, INSTRUCTION_CHARS[judge.prompt])
        chars = 2 * items * (fixed + answer + reference) + 2 * pairs_known * (fixed + 2 * published)
        calls = 2 * (items + pairs_known)
        return JudgeCalls(calls, round(chars / CHARS_PER_TOKEN), calls)

    def calibration_rows(
        self, data_root: str | None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any] | None]:
        """Answers to calibrate a judge on, a weaker reference's answers to the same instructions (or none), and where
        it is published which is the weaker."""
        data = self._source(data_root)
        names = list(dict.fromkeys(items[0].get("generator") or path.stem for path, items in _files(data) if items))
        known = sorted(((rate, name) for name in names if (rate := standing(name)) is not None), reverse=True)
        if len(known) < 2 or known[0][0] - known[-1][0] < FAR_APART:
            return self.reference_rows(data_root), [], None
        (best, strong), (worst, weak) = known[0], known[-1]
        where = f"AlpacaEval leaderboard, judge alpaca_eval_gpt4 (alpaca-eval {version('alpaca-eval')}, {LEADERBOARD})"
        published = {"strong": strong, "weak": weak, "win_rates": [best, worst], "source": where}
        return load_instructions(data, strong), load_instructions(data, weak), published

    def reference_rows(self, data_root: str | None, name: str | None = None) -> list[dict[str, Any]]:
        """Rows of a reference's answers to every instruction: what a judge compares with, or is calibrated on.

        `name` None: the configured reference or, where that is the baseline, the first that the data has.
        """
        data = self._source(data_root)
        wanted = name or (None if self.config.reference == BASELINE else self.config.reference)
        return load_instructions(data, wanted)

    def _outcome(self, rows: list[dict[str, Any]], data: Source, population: int) -> Outcome:
        counts = {
            "items": len(rows),
            "truncated": sum(row["finish_reason"] == "length" for row in rows),
            "empty": sum(not row["response"] for row in rows),
            "unparsed": 0,
            "errors": sum(row["finish_reason"] == UNREADABLE for row in rows),
        }
        result = {
            "primary": "win_rate",
            "scores": {},
            "counts": counts,
            "data": _data(data, population),
            "details": {
                "prompt": "chat template",
                "decoding": f"greedy, at most {self.config.max_tokens} tokens",
                "reference": self.config.reference,
                "mean_length_chars": sum(len(row["response"]) for row in rows) / len(rows),
            },
        }
        flags = []
        if counts["truncated"]:
            message = f"{counts['truncated']} of {len(rows)} answers were cut at {self.config.max_tokens} tokens"
            flags.append(Flag("truncated", "caution", message))
        return Outcome(result, rows, flags + answer_flags(rows, f"suites.{self.name}.max_tokens"))

    def _source(self, data_root: str | None) -> Source:
        return source(data_root, "alpaca_eval", HUB)


@dataclass(frozen=True)
class JudgeCalls:
    calls: int
    prompt_tokens: int
    completion_tokens: int


def standing(generator: str) -> float | None:
    """Win rate in percent against text_davinci_003 on the leaderboard that alpaca-eval ships; None if not there."""
    return _leaderboard().get(generator)


@lru_cache(maxsize=1)
def _leaderboard() -> dict[str, float]:
    from importlib.util import find_spec

    path = Path(find_spec("alpaca_eval").origin).parent / LEADERBOARD  # without importing it
    with path.open(newline="", encoding="utf-8") as file:
        return {row[""]: float(row["win_rate"]) for row in csv.DictReader(file)}


def _data(data: Source, population: int) -> dict[str, Any]:
    return {"source": data.kind, "name": data.name, "digest": data.digest(), "population": population}


def references(data: Source) -> list[str]:
    """Names of the references that the data has: a file's name, or the generator named in it."""
    return sorted({name for path, items in _files(data) for name in (path.stem, items[0].get("generator")) if name})


def load_instructions(data: Source, reference: str | None = None) -> list[dict[str, Any]]:
    """Every instruction once, with the reference's answer as `response`. Ids number the first file's order."""
    files = _files(data)
    if not files:
        raise CellError(f"{data.directory} has no *.json")
    order = list(dict.fromkeys(item["instruction"] for item in files[0][1]))
    chosen = [items for path, items in files if reference in (None, path.stem, items[0].get("generator"))]
    if not chosen:
        raise CellError(f"unknown reference {reference!r}{did_you_mean(reference, references(data))}")
    by_instruction = {item["instruction"]: item for item in reversed(chosen[0])}
    if missing := [text for text in order if text not in by_instruction]:
        raise CellError(f"reference {reference!r} lacks {len(missing)} of {len(order)} instructions")
    return [
        {
            "id": f"alpaca_eval/{number}",
            "group": by_instruction[text].get("dataset"),
            "doc_hash": digest(text),
            "instruction": text,
            "response": by_instruction[text]["output"].strip(),
            "generator": by_instruction[text].get("generator"),
            "scores": {},
        }
        for number, text in enumerate(order)
    ]


def _files(data: Source) -> list[tuple[Path, list[dict[str, Any]]]]:
    paths = [_hub_file(name) for name in HUB_FILES] if data.directory is None else sorted(data.directory.glob("*.json"))
    found = []
    for path in paths:
        items = read_json(path)
        if not isinstance(items, list) or not items:
            raise DataError(path, "not a JSON list of AlpacaEval answers")
        for number, item in enumerate(items, 1):
            if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ANSWER):
                raise DataError(path, f"item {number} lacks {' or '.join(ANSWER)}, as texts")
        found.append((path, items))
    return found


def _not_cached() -> str | None:
    """Say why where a file is in no cache and the hub cannot be asked."""
    from huggingface_hub import try_to_load_from_cache

    commit = commit_of(DATASET, HUB)
    cached = [try_to_load_from_cache(HUB, name, repo_type="dataset", revision=commit) for name in HUB_FILES]
    if all(isinstance(found, str) for found in cached) or not access.unreachable():
        return None
    return access.problem(Place(HUB))


def _hub_file(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    bound()
    try:
        found = Path(hf_hub_download(HUB, name, repo_type="dataset", revision=commit_of(DATASET, HUB)))
    except Exception as error:  # huggingface_hub raises its own, its HTTP library's and OSError
        raise CellError(f"{access.why(error, Place(HUB))}, or set data.root to a mirror or to pocket") from error
    cache.check(Place(HUB), [found])
    return found
