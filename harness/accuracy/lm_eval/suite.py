"""MMLU, GSM8K and every other task of lm-eval: its prompts, few-shot examples, filters and scores; our requests.

Source: EleutherAI/lm-evaluation-harness. One item of `mmlu`, 5-shot, as its row:
    {"id": "mmlu_astronomy/12", "group": "astronomy", "scores": {"acc": 1.0}, "response": "B",
     "logprobs": {"A": -2.1, "B": -0.4, "C": -2.5, "D": -3.0}, ...}
and of `gsm8k`:
    {"id": "gsm8k/7", "scores": {"exact_match_strict": 0.0, "exact_match_flexible": 1.0}, "response": " ... 18",
     "extracted": {"strict-match": "[invalid]", "flexible-extract": "18"}, "finish_reason": "stop", ...}
"""

import re
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from harness.accuracy import Context, Suite
from harness.accuracy.datasets import Source, source
from harness.accuracy.items import mean_scores, outcome
from harness.accuracy.lm_eval import builtin_tasks
from harness.accuracy.lm_eval.logged_samples import (
    by_group,
    check_against,
    counts_of,
    errors_as_wrong,
    flags_of,
    items_of,
    primary_score,
    score_name,
    task_of,
    ties,
)
from harness.accuracy.lm_eval.mirrors import DATA
from harness.accuracy.lm_eval.tasks import choose_items, load_tasks
from harness.accuracy.reasoning import answer_flags
from harness.accuracy.suite import ECHO, Facts
from harness.config import MISSING
from harness.engines.dialect import NEXT_TOKEN_LOGPROBS, PROMPT_LOGPROBS
from harness.errors import CellError, ConfigError, HarnessError, did_you_mean
from harness.records import Outcome
from harness.records.accuracy_result import AccuracyResult, scores_to_json

REVISION = 1  # of this module's own protocol: raise it when prompts, requests or scores change
CHOICES = 4  # of a multiple-choice item, for estimates of time
EXAMPLE_TOKENS = 90.0  # of a question of MMLU or GSM8K with its answer, likewise


@dataclass
class LmEvalConfig:
    kind: str = "lm_eval"
    task: str = MISSING  # a task, group or tag of lm-eval
    data: str | None = None  # folder in a mirror (DATA); null: the task's own data on the hub, always
    fewshot: int = MISSING  # examples in the prompt
    items: int | None = None  # a seeded random subset, every subject in proportion; null: all
    max_tokens: int = 256  # of a generated answer
    chat_template: bool = False  # send prompts through the model's chat template
    metric: str | None = None  # the suite's primary score; null: acc, or exact_match_flexible
    add_bos: bool | None = None  # null: as the tokenizer does by itself


class LmEval(Suite):
    Config = LmEvalConfig
    config: LmEvalConfig

    def __init__(self, name: str, config: LmEvalConfig):
        super().__init__(name, config)
        for key, low in (("items", 1), ("fewshot", 0), ("max_tokens", 1)):
            value = getattr(config, key)
            if value is not None and value < low:
                raise ConfigError(f"suites.{name}.{key} is {value}; the lowest value is {low}")
        if config.data is not None and config.data not in DATA:
            hint = did_you_mean(config.data, list(DATA))
            raise ConfigError(f"suites.{name}.data: unknown data {config.data!r}{hint}")

    def fingerprint(self, data_root: str | None) -> Facts:
        """The sample seed, the concurrency and the tokenizer are the sweep's, and are in the cell's own inputs."""
        where = self._source(data_root)
        libraries = {name: _version(name) for name in ("lm_eval", "transformers")}
        data = {"source": where.kind, "digest": where.digest()}
        return {**asdict(self.config), "data": data, "libraries": libraries, "revision": REVISION}

    def problems(self, data_root: str | None) -> list[str]:
        config = self.config
        found = builtin_tasks.problems(config.task, config.data, config.fewshot, self._source(data_root))
        return [f"suite {self.name}: {problem}" for problem in found]

    def asks(self) -> frozenset[str]:
        """MMLU's choices are single letters; those of other tasks are whole texts, which must be read back."""
        if self.config.data == "mmlu":
            return frozenset({NEXT_TOKEN_LOGPROBS})
        kind = builtin_tasks.output_type(self.config.task)
        return frozenset() if kind in (None, "generate_until") else frozenset({PROMPT_LOGPROBS})

    def planned_items(self) -> int | None:
        return self.config.items

    def answer_tokens(self) -> int:
        return 1 if NEXT_TOKEN_LOGPROBS in self.asks() else self.config.max_tokens

    def typical_tokens(self) -> tuple[float, float]:
        prompt, answer = EXAMPLE_TOKENS * (self.config.fewshot + 1), super().typical_tokens()[1]
        if PROMPT_LOGPROBS in self.asks():  # a request for each choice
            return CHOICES * ECHO * prompt, CHOICES
        return prompt, answer

    def run(self, context: Context) -> Outcome:
        from harness.accuracy.lm_eval.quiet_library import quiet

        with quiet():
            return self._run(context)

    def _source(self, data_root: str | None) -> Source:
        if self.config.data is None:
            return Source("hub", f"lm-eval {self.config.task}", None, builtin_tasks.repositories(self.config.task))
        return source(data_root, self.config.data, DATA[self.config.data].hub)

    def _run(self, context: Context) -> Outcome:
        from lm_eval import simple_evaluate
        from lm_eval.api.metrics import mean

        from harness.accuracy.lm_eval.model import ServedModel

        config, where = self.config, self._source(context.data_root)
        manager, tasks = load_tasks(config.task, config.data, where, context.work_dir)
        self._check_metric(tasks)
        sizes = {name: len(task.eval_docs) for name, task in tasks.items()}
        chosen = choose_items(sizes, config.items, f"{config.task}:{context.seed}")
        asked = sum(map(len, chosen.values()))
        model = ServedModel(
            context.server,
            context.tokenizer,
            max_tokens=config.max_tokens,
            concurrency=context.concurrency,
            add_bos=config.add_bos,
            progress=lambda done, total: context.progress(done * asked // total, asked),  # it counts its requests
        )
        try:
            report = simple_evaluate(
                model=model,
                tasks=[tasks[name] for name in chosen],
                task_manager=manager,
                num_fewshot=config.fewshot,
                samples={name: indices for name, indices in chosen.items() if len(indices) < sizes[name]},
                bootstrap_iters=0,  # intervals are analysis's
                apply_chat_template=config.chat_template,
            )
        except HarnessError:
            raise
        except Exception as error:  # too few examples for the shots, a task that runs code, a broken template ...
            raise CellError(f"lm-eval failed on task {config.task}: {type(error).__name__}: {error}") from error
        labels = {name: tasks[name].config.task_alias or name for name in chosen}
        groups = labels if len(tasks) > 1 else {}
        items = items_of(report["samples"], groups, model.generation_of)
        averaged = {(n, metric) for n in chosen for metric, how in tasks[n].aggregation().items() if how is mean}
        check_against(items, report["results"], averaged)
        items = errors_as_wrong(items)
        scores = mean_scores(items)
        primary = primary_score(config.metric, scores, len(items))
        population = sum(sizes.values())
        counts, data = counts_of(items, primary), where.reference(population)
        categories = self._categories({name: manager.task_index[name].tags for name in chosen})
        result = AccuracyResult(
            primary=primary,
            scores=scores,
            counts=counts,
            data=data,
            details={
                "task": config.task,
                "fewshot": max(report["n-shot"].values()),
                "chat_template": config.chat_template,
                "bos": bool(model.bos),
                "lm_eval": _version("lm_eval"),
                "max_tokens": config.max_tokens if model.generations else None,
                "multiple_choice": _how_asked(model.one_request, bool(model.generations)),
                "seed": context.seed,
                "prompts_cut": model.prompts_cut,
                "ties": ties(items),
                "groups": scores_to_json(by_group(items, primary, lambda item: item.group)),
                "categories": scores_to_json(by_group(items, primary, lambda item: categories.get(task_of(item)))),
            },
        )
        flags = flags_of(counts, population, model.prompts_cut, model.context_length)
        return outcome(result, items, flags + answer_flags(items, f"suites.{self.name}.max_tokens"))

    def _check_metric(self, tasks: dict[str, Any]) -> None:
        """A metric that the task cannot have is refused before hours of requests, where its YAML lists them all."""
        names = set()
        for task in tasks.values():
            if callable(task.config.process_results):
                return
            filters = [one["name"] for one in task.config.filter_list or [{"name": "none"}]]
            metrics = [one["metric"] for one in task.config.metric_list or []]
            names |= {score_name(str(metric), name) for metric in metrics for name in filters}
        wanted = self.config.metric
        if wanted is not None and wanted not in names:
            hint = did_you_mean(wanted, sorted(names))
            raise CellError(f"suites.{self.name}.metric: task {self.config.task} has no score {wanted!r}{hint}")

    def _categories(self, tags: dict[str, set[str]]) -> dict[str, str]:
        """MMLU's stem, humanities, social_sciences, other, by task: lm-eval's tags ``mmlu_stem_tasks``."""
        pattern = re.compile(re.escape(self.config.task) + "_(.+)_tasks")
        return {name: found[1] for name in tags for tag in tags[name] if (found := pattern.fullmatch(tag))}


def _how_asked(one_request: bool | None, generates: bool) -> str | None:
    if one_request is None:
        return None if generates else "one request a choice"
    return "one request a question" if one_request else "one request a choice"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
