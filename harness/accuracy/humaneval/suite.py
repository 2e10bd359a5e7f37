"""HumanEval and HumanEval+: functions written from their docstring, tested by running them.

HumanEval: Chen et al. 2021, arXiv 2107.03374 (164 problems). HumanEval+: Liu et al. 2023, arXiv 2305.01210 (the same
problems, 80 times the tests; a solution must pass both). The prompts, the extraction of code, the tests and their time
limits are evalplus's; the requests to the server and the last word on right or wrong are ours (humaneval_checks.py).

Greedy, one answer an item, pass@1 of an item is 0 or 1. With `samples` at a `temperature`, pass@k of an item is the
unbiased estimate of Chen et al. from its n samples of which c are right: 1 - C(n-c, k) / C(n, k).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from harness.accuracy import Context, Suite, sandbox
from harness.accuracy.completions import completion
from harness.accuracy.datasets import Source, source
from harness.accuracy.generation import request_many
from harness.accuracy.humaneval.code_prompts import INSTRUCTION, RESPONSE, code_ids, stop_strings
from harness.accuracy.humaneval.evaluation import CODE, Verdict, evaluate
from harness.accuracy.humaneval.published_rows import RELEASE, Problem, load_problems, row_problems
from harness.accuracy.humaneval.sampling import check_sampling, decoding, describe, pass_at_k, sample_seed
from harness.accuracy.items import (
    answer_of,
    check_items,
    count_answers,
    digest,
    mean_scores,
    outcome,
    subset,
    truncation_flags,
)
from harness.accuracy.reasoning import answer_flags
from harness.accuracy.suite import Facts
from harness.accuracy.text_prompts import end_of, sendable
from harness.records import Outcome
from harness.records.accuracy_result import AccuracyResult, DataRef
from harness.records.flag import Flag
from harness.records.item import UNREADABLE, Answer, Item
from harness.text.tokenizer import load_tokenizer

PROBLEMS = 164
EVALUATION_SHARE = 0.2  # of progress
MOVED = "harness.accuracy.humaneval."  # a module's path decides no verdict: digests of the earlier layout stay valid


@dataclass
class HumanEvalConfig:
    kind: str = "humaneval"
    items: int | None = None  # a random subset drawn with the sweep's seed; null: all
    max_tokens: int = 512  # of an answer
    samples: int = 1  # answers asked for each item
    temperature: float = 0.0  # 0: greedy
    top_p: float = 0.95  # used where temperature > 0; evalplus's and the Codex paper's
    k: list[int] = field(default_factory=lambda: [1])  # of pass@k, each at most `samples`
    chat: bool = True  # ask through the chat template; false: continue the prompt, for base models
    plus: bool = True  # HumanEval+ as well
    allow_unsandboxed: bool = False  # run model-written code without isolation where no sandbox works
    timeout_s: float = 1800.0  # of the evaluation


class HumanEval(Suite):
    Config = HumanEvalConfig
    config: HumanEvalConfig

    def __init__(self, name: str, config: HumanEvalConfig):
        check_items(name, config.items)
        check_sampling(name, config)
        super().__init__(name, config)

    def fingerprint(self, data_root: str | None) -> Facts:
        config = self.config
        prompts = [INSTRUCTION, RESPONSE, stop_strings(config.chat)]
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

    def answer_tokens(self) -> int:
        return self.config.max_tokens

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
                "stop": stop_strings(config.chat),
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
        grouped = {name: [answer_of(next(said), ends[name]) for _ in range(config.samples)] for name in chosen}
        verdicts = evaluate(
            chosen,
            {
                name: [answer.response if config.chat else _continued(chosen[name], answer) for answer in group]
                for name, group in grouped.items()
            },
            plus=config.plus,
            sandbox=box,
            work_dir=context.work_dir,
            timeout_s=config.timeout_s,
            progress=lambda done, total: context.progress(len(bodies) + (steps - len(bodies)) * done // total, steps),
        )
        items = [
            _item(problem, prompts[name], grouped[name], verdicts[name], config) for name, problem in chosen.items()
        ]
        return self._outcome(items, data.reference(len(population)), box)

    def _outcome(self, items: Sequence[Item], data: DataRef, box: sandbox.Sandbox) -> Outcome:
        config, scores = self.config, mean_scores(items)
        answers = [answer for item in items for answer in item.samples or (item,)]
        counts = replace(
            count_answers(len(items), answers, unparsed=sum(not answer.parsed for answer in answers)),
            answers=len(answers) if config.samples > 1 else None,
            errors=sum(
                answer.status not in ("pass", "fail", "timeout") or answer.finish_reason == UNREADABLE
                for answer in answers
            ),
        )
        result = AccuracyResult(
            primary=next(iter(scores)),
            scores=scores,
            counts=counts,
            data=data,
            details={
                "prompt": "chat template, answer begun with a code fence" if config.chat else "plain completion",
                "decoding": f"{describe(config)}, at most {config.max_tokens} tokens",
                "evalplus": version("evalplus"),
                "sandbox": box.label,
            },
        )
        flags = []
        if not box.isolates:
            flags.append(Flag("unsandboxed", "caution", "model-written code ran without isolation (allow_unsandboxed)"))
        flags += truncation_flags(counts, config.max_tokens)
        if counts.unparsed:
            message = f"{counts.unparsed} of {len(answers)} answers define no function of the asked name: failed"
            flags.append(Flag("unparsed", "note", message))
        return outcome(result, items, flags + answer_flags(answers, f"suites.{self.name}.max_tokens"))

    def _source(self, data_root: str | None) -> Source:
        return source(data_root, "humaneval", RELEASE)


def _continued(problem: Problem, answer: Answer) -> str:
    return problem["prompt"].strip() + "\n" + answer.response


def _item(
    problem: Problem, prompt: list[int], answers: list[Answer], verdicts: list[Verdict], config: HumanEvalConfig
) -> Item:
    """The first sample is where every suite has its answer; all of them are in `samples` where there are more."""
    base = sum(verdict.base == "pass" for verdict in verdicts)
    both = sum(verdict.base == verdict.plus == "pass" for verdict in verdicts)
    scores = {f"pass@{k}": pass_at_k(len(verdicts), base, k) for k in sorted(config.k)}
    if config.plus:
        scores |= {f"pass@{k}_plus": pass_at_k(len(verdicts), both, k) for k in sorted(config.k)}
    samples = tuple(
        replace(answer, solution=verdict.solution, parsed=verdict.parsed, status=verdict.status)
        for answer, verdict in zip(answers, verdicts, strict=True)
    )
    return Item(
        id=problem["task_id"],
        doc_hash=digest(problem),
        prompt_hash=digest(prompt),
        scores=scores,
        **vars(samples[0]),
        samples=samples if len(samples) > 1 else (),
    )
