"""HumanEval and HumanEval+: functions written from their docstring, tested by running them.

HumanEval: Chen et al. 2021, arXiv 2107.03374 (164 problems). HumanEval+: Liu et al. 2023, arXiv 2305.01210 (the same
problems, 80 times the tests; a solution must pass both). The prompts, the extraction of code, the tests and their time
limits are evalplus's; the requests to the server and the last word on right or wrong are ours (humaneval_checks.py).

Greedy, one answer an item, pass@1 of an item is 0 or 1. With `samples` at a `temperature`, pass@k of an item is the
unbiased estimate of Chen et al. from its n samples of which c are right: 1 - C(n-c, k) / C(n, k).
"""

import random
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from harness.accuracy import Context, sandbox, token_prompts
from harness.accuracy.completions import UNREADABLE, Completion, completion
from harness.accuracy.datasets import Source, source
from harness.accuracy.generation import request_many
from harness.accuracy.humaneval.evaluation import CODE, Verdict, evaluate
from harness.accuracy.humaneval.published_rows import RELEASE, load_problems, row_problems
from harness.accuracy.humaneval.sampling import check_sampling, decoding, describe, pass_at_k, sample_seed
from harness.accuracy.reasoning import answer_flags, mark
from harness.accuracy.text_prompts import end_of, sendable
from harness.accuracy.token_prompts import code_ids, digest
from harness.errors import ConfigError
from harness.records import Outcome
from harness.records.flag import Flag
from harness.text.tokenizer import load_tokenizer

PROBLEMS = 164
EVALUATION_SHARE = 0.2  # of progress
MOVED = "harness.accuracy.humaneval."  # a module's path decides no verdict: digests of the earlier layout stay valid


@dataclass
class HumanEvalConfig:
    kind: str = "humaneval"
    items: int | None = None  # a random subset drawn with the sweep's seed; null: all
    max_tokens: int = 512
    samples: int = 1  # answers asked for each item
    temperature: float = 0.0  # 0: greedy
    top_p: float = 0.95  # used where temperature > 0; evalplus's and the Codex paper's
    k: list[int] = field(default_factory=lambda: [1])  # of pass@k, each at most `samples`
    chat: bool = True  # ask through the chat template; false: continue the prompt, for base models
    plus: bool = True  # HumanEval+ as well
    allow_unsandboxed: bool = False  # run model-written code without isolation where no sandbox works
    timeout_s: float = 1800.0  # of the evaluation


class HumanEval:
    Config = HumanEvalConfig
    judged = False

    def __init__(self, name: str, config: HumanEvalConfig):
        if config.items is not None and config.items < 1:
            raise ConfigError(f"suite {name}: items must be at least 1 or null: {config.items}")
        check_sampling(name, config)
        self.name, self.config = name, config

    def fingerprint(self, data_root: str | None) -> dict[str, Any]:
        config = self.config
        prompts = [token_prompts.INSTRUCTION, token_prompts.RESPONSE, _stop(config.chat)]
        return {
            "kind": "humaneval",
            "items": config.items,
            "max_tokens": config.max_tokens,
            "chat": config.chat,
            "decoding": decoding(config),
            "samples": config.samples,
            "k": sorted(config.k),
            "plus": config.plus,
            "prompts": digest(prompts),
            "worker": digest([path.read_text().replace(MOVED, "harness.accuracy.") for path in CODE]),
            "data": self._source(data_root).digest(),
            "evalplus": version("evalplus"),
        }

    def problems(self, data_root: str | None) -> list[str]:
        found = sandbox.problems(self.config.allow_unsandboxed) + row_problems(self._source(data_root))
        return [f"suite {self.name}: {problem}" for problem in found]

    def planned_items(self) -> int | None:
        return (self.config.items or PROBLEMS) * self.config.samples

    def run(self, context: Context) -> Outcome:
        config, data = self.config, self._source(context.data_root)
        box = sandbox.find(config.allow_unsandboxed)
        population = load_problems(data)
        chosen = {name: population[name] for name in subset(list(population), config.items, context.seed)}
        tokenizer = load_tokenizer(context.tokenizer)
        prompts = {name: code_ids(tokenizer, problem["prompt"], config.chat) for name, problem in chosen.items()}
        sent = dict(zip(prompts, sendable(context.server, tokenizer, prompts.values()), strict=True))
        bodies = [  # the samples of an item in a row: its prompt stays cached
            {
                "prompt": prompt,
                "max_tokens": config.max_tokens,
                "stop": _stop(config.chat),
                **decoding(config),
                **({"seed": sample_seed(context.seed, name, index)} if config.temperature > 0 else {}),
            }
            for name, prompt in sent.items()
            for index in range(config.samples)
        ]
        steps = round(len(bodies) / (1 - EVALUATION_SHARE))
        answers = request_many(
            context.server,
            "/v1/completions",
            bodies,
            concurrency=context.concurrency,
            progress=lambda done, total: context.progress(done, steps),
        )
        ends = {name: end_of(tokenizer, ids) for name, ids in prompts.items()}
        said = iter(map(completion, answers))  # the samples of an item in a row
        grouped = {name: [_answer(next(said), ends[name]) for _ in range(config.samples)] for name in chosen}
        verdicts = evaluate(
            chosen,
            {
                name: [answer["response"] if config.chat else _continued(chosen[name], answer) for answer in group]
                for name, group in grouped.items()
            },
            plus=config.plus,
            sandbox=box,
            work_dir=context.work_dir,
            timeout_s=config.timeout_s,
            progress=lambda done, total: context.progress(len(bodies) + (steps - len(bodies)) * done // total, steps),
        )
        rows = [_row(problem, prompts[name], grouped[name], verdicts[name], config) for name, problem in chosen.items()]
        return self._outcome(rows, data, len(population), box)

    def _outcome(self, rows: list[dict[str, Any]], data: Source, population: int, box: sandbox.Sandbox) -> Outcome:
        config, names = self.config, list(rows[0]["scores"])
        answers = [sample for row in rows for sample in row.get("samples", [row])]
        counts = {
            "items": len(rows),
            **({"answers": len(answers)} if config.samples > 1 else {}),  # what the others are counted of
            "truncated": sum(answer["finish_reason"] == "length" for answer in answers),
            "empty": sum(not answer["response"].strip() for answer in answers),
            "unparsed": sum(not answer["parsed"] for answer in answers),
            "errors": sum(
                answer["status"] not in ("pass", "fail", "timeout") or answer["finish_reason"] == UNREADABLE
                for answer in answers
            ),
        }
        result = {
            "primary": names[0],
            "scores": {n: {"value": sum(r["scores"][n] for r in rows) / len(rows), "n": len(rows)} for n in names},
            "counts": counts,
            "data": {"source": data.kind, "name": data.name, "digest": data.digest(), "population": population},
            "details": {
                "prompt": "chat template, answer begun with a code fence" if config.chat else "plain completion",
                "decoding": f"{describe(config)}, at most {config.max_tokens} tokens",
                "evalplus": version("evalplus"),
                "sandbox": box.label,
            },
        }
        flags = []
        if not box.isolates:
            flags.append(Flag("unsandboxed", "caution", "model-written code ran without isolation (allow_unsandboxed)"))
        if counts["truncated"]:
            message = f"{counts['truncated']} of {len(answers)} answers were cut at {config.max_tokens} tokens"
            flags.append(Flag("truncated", "caution", message))
        if counts["unparsed"]:
            message = f"{counts['unparsed']} of {len(answers)} answers define no function of the asked name: failed"
            flags.append(Flag("unparsed", "note", message))
        return Outcome(result, rows, flags + answer_flags(answers, f"suites.{self.name}.max_tokens"))

    def _source(self, data_root: str | None) -> Source:
        return source(data_root, "humaneval", RELEASE)


def subset(names: list[Any], items: int | None, seed: int) -> list[Any]:
    """`items` of them at random, the same for every variant, in their own order."""
    if items is None or items >= len(names):
        return list(names)
    chosen = set(random.Random(f"subset {seed}").sample(range(len(names)), items))
    return [name for index, name in enumerate(names) if index in chosen]


def _stop(chat: bool) -> list[str]:
    return token_prompts.CHAT_STOP if chat else token_prompts.PLAIN_STOP


def _answer(said: Completion, prompt_end: str) -> dict[str, Any]:
    facts = {"finish_reason": said.finish_reason, "completion_tokens": said.completion_tokens}
    return mark({"response": said.text, **facts}, prompt_end)


def _continued(problem: dict[str, Any], answer: dict[str, Any]) -> str:
    return problem["prompt"].strip() + "\n" + answer["response"]


def _row(
    problem: dict[str, Any],
    prompt: list[int],
    answers: list[dict[str, Any]],
    verdicts: list[Verdict],
    config: HumanEvalConfig,
) -> dict[str, Any]:
    """The first sample stands where every suite has its answer; all of them are in `samples` where there are more."""
    base = sum(verdict.base == "pass" for verdict in verdicts)
    both = sum(verdict.base == verdict.plus == "pass" for verdict in verdicts)
    scores = {f"pass@{k}": pass_at_k(len(verdicts), base, k) for k in sorted(config.k)}
    if config.plus:
        scores |= {f"pass@{k}_plus": pass_at_k(len(verdicts), both, k) for k in sorted(config.k)}
    samples = [
        {**answer, "solution": verdict.solution, "parsed": verdict.parsed, "status": verdict.status}
        for answer, verdict in zip(answers, verdicts, strict=True)
    ]
    row = {
        "id": problem["task_id"],
        "group": None,
        "doc_hash": digest(problem),
        "prompt_hash": digest(prompt),
        "scores": scores,
        **samples[0],
    }
    return row | {"samples": samples} if len(samples) > 1 else row
