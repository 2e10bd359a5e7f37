"""HumanEval and HumanEval+: functions written from their docstring, tested by running them.

HumanEval: Chen et al. 2021, arXiv 2107.03374 (164 problems). HumanEval+: Liu et al. 2023, arXiv 2305.01210 (the same
problems, 80 times the tests; a solution must pass both). Answers are greedy, so pass@1 of an item is 0 or 1. The
prompts, the extraction of code and the tests are evalplus's; only the requests to the server are ours.
"""

import gzip
import json
import random
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.accuracy import Context, humaneval_prompts, sandbox
from harness.accuracy.datasets import Source, source
from harness.accuracy.generation import request_many
from harness.accuracy.humaneval_evaluation import WORKER, Verdict, evaluate
from harness.accuracy.humaneval_prompts import code_ids, digest
from harness.errors import CellError, ConfigError
from harness.load.traffic.prompts import load_tokenizer
from harness.records import Flag, Outcome

RELEASE = "HumanEvalPlus v0.1.10"  # what evalplus 0.3.1 downloads
URL = "https://github.com/evalplus/humanevalplus_release/releases"
FILES = "HumanEvalPlus.jsonl*"
EVALUATION_SHARE = 0.2  # of progress


@dataclass
class HumanEvalConfig:
    kind: str = "humaneval"
    items: int | None = None  # a random subset drawn with the sweep's seed; null: all
    max_tokens: int = 512
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
        self.name, self.config = name, config

    def fingerprint(self, data_root: str | None) -> dict[str, Any]:
        config = self.config
        prompts = [humaneval_prompts.INSTRUCTION, humaneval_prompts.RESPONSE, _stop(config.chat)]
        return {
            "kind": "humaneval",
            "items": config.items,
            "max_tokens": config.max_tokens,
            "chat": config.chat,
            "plus": config.plus,
            "prompts": digest(prompts),
            "worker": digest(WORKER.read_text()),
            "data": self._source(data_root).digest(),
            "evalplus": version("evalplus"),
        }

    def problems(self, data_root: str | None) -> list[str]:
        data = self._source(data_root)
        found = [f"suite {self.name}: {problem}" for problem in sandbox.problems(self.config.allow_unsandboxed)]
        found += [f"suite {self.name}: {problem}" for problem in data.problems(FILES)]
        if data.directory is None and not _cached().exists() and not _reachable("github.com"):
            found.append(
                f"suite {self.name}: {RELEASE} is not in {_cached().parent} and github.com cannot be reached; "
                f"set data.root to a mirror or to pocket, or put the file there from {URL}"
            )
        return found

    def planned_items(self) -> int | None:
        return self.config.items

    def run(self, context: Context) -> Outcome:
        config, data = self.config, self._source(context.data_root)
        box = sandbox.find(config.allow_unsandboxed)
        population = load_problems(data)
        chosen = subset(list(population), config.items, context.seed)
        tokenizer = load_tokenizer(context.tokenizer)
        prompts = {name: code_ids(tokenizer, population[name]["prompt"], config.chat) for name in chosen}
        bodies = [
            {"prompt": ids, "max_tokens": config.max_tokens, "temperature": 0.0, "stop": _stop(config.chat)}
            for ids in prompts.values()
        ]
        steps = round(len(bodies) / (1 - EVALUATION_SHARE))
        answers = request_many(
            context.server,
            "/v1/completions",
            bodies,
            concurrency=context.concurrency,
            progress=lambda done, total: context.progress(done, steps),
        )
        codes = {
            name: answer["choices"][0]["text"] if config.chat else _continued(population[name], answer)
            for name, answer in zip(chosen, answers, strict=True)
        }
        verdicts = evaluate(
            {name: population[name] for name in chosen},
            codes,
            plus=config.plus,
            sandbox=box,
            work_dir=context.work_dir,
            timeout_s=config.timeout_s,
            progress=lambda done, total: context.progress(len(bodies) + (steps - len(bodies)) * done // total, steps),
        )
        rows = [
            _row(population[name], prompts[name], answer, verdicts[name], config.plus)
            for name, answer in zip(chosen, answers, strict=True)
        ]
        return self._outcome(rows, data, len(population), box)

    def _outcome(self, rows: list[dict[str, Any]], data: Source, population: int, box: sandbox.Sandbox) -> Outcome:
        names = ["pass@1", "pass@1_plus"] if self.config.plus else ["pass@1"]
        counts = {
            "items": len(rows),
            "truncated": sum(row["finish_reason"] == "length" for row in rows),
            "empty": sum(not row["response"].strip() for row in rows),
            "unparsed": sum(not row["parsed"] for row in rows),
            "errors": sum(row["status"] not in ("pass", "fail", "timeout") for row in rows),
        }
        result = {
            "primary": "pass@1",
            "scores": {n: {"value": sum(r["scores"][n] for r in rows) / len(rows), "n": len(rows)} for n in names},
            "counts": counts,
            "data": {"source": data.kind, "name": data.name, "digest": data.digest(), "population": population},
            "details": {
                "prompt": "chat template, answer begun with a code fence" if self.config.chat else "plain completion",
                "decoding": f"greedy, at most {self.config.max_tokens} tokens",
                "evalplus": version("evalplus"),
                "sandbox": box.kind,
            },
        }
        flags = []
        if not box.isolates:
            flags.append(Flag("unsandboxed", "caution", "model-written code ran without isolation (allow_unsandboxed)"))
        if counts["truncated"]:
            message = f"{counts['truncated']} of {len(rows)} answers were cut at {self.config.max_tokens} tokens"
            flags.append(Flag("truncated", "caution", message))
        if counts["unparsed"]:
            message = f"{counts['unparsed']} of {len(rows)} answers have no function of the asked name: failed"
            flags.append(Flag("unparsed", "note", message))
        return Outcome(result, rows, flags)

    def _source(self, data_root: str | None) -> Source:
        return source(data_root, "humaneval", RELEASE)


def load_problems(data: Source) -> dict[str, dict[str, Any]]:
    """By task id, in the file's order."""
    if data.directory is None:
        from evalplus.data import humaneval

        try:
            path = Path(humaneval._ready_human_eval_plus_path())  # downloads to evalplus's own cache
        except Exception as error:
            raise CellError(f"evalplus cannot download {RELEASE}: {error}; set data.root") from error
    else:
        found = sorted(data.directory.glob(FILES))
        if not found:
            raise CellError(f"{data.directory} has no {FILES}")
        path = found[0]
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return {problem["task_id"]: problem for problem in map(json.loads, filter(str.strip, file))}


def subset(names: list[Any], items: int | None, seed: int) -> list[Any]:
    """`items` of them at random, the same for every variant, in their own order."""
    if items is None or items >= len(names):
        return list(names)
    chosen = set(random.Random(f"subset {seed}").sample(range(len(names)), items))
    return [name for index, name in enumerate(names) if index in chosen]


def _stop(chat: bool) -> list[str]:
    return humaneval_prompts.CHAT_STOP if chat else humaneval_prompts.PLAIN_STOP


def _continued(problem: dict[str, Any], answer: dict[str, Any]) -> str:
    return problem["prompt"].strip() + "\n" + answer["choices"][0]["text"]


def _row(
    problem: dict[str, Any], prompt: list[int], answer: dict[str, Any], verdict: Verdict, plus: bool
) -> dict[str, Any]:
    choice = answer["choices"][0]
    scores = {"pass@1": float(verdict.base == "pass")}
    if plus:
        scores["pass@1_plus"] = float(verdict.base == verdict.plus == "pass")
    return {
        "id": problem["task_id"],
        "group": None,
        "doc_hash": digest(problem),
        "prompt_hash": digest(prompt),
        "scores": scores,
        "response": choice["text"],
        "finish_reason": choice["finish_reason"],
        "completion_tokens": (answer.get("usage") or {}).get("completion_tokens"),
        "solution": verdict.solution,
        "parsed": verdict.parsed,
        "status": verdict.base if verdict.base != "pass" else verdict.plus or "pass",
    }


def _cached() -> Path:
    """Where evalplus keeps its download, without importing it (evalplus/data/utils.py)."""
    from appdirs import user_cache_dir

    return Path(user_cache_dir("evalplus")) / f"HumanEvalPlus-{RELEASE.split()[1]}.jsonl"


def _reachable(host: str) -> bool:
    import socket

    try:
        socket.create_connection((host, 443), timeout=5).close()
    except OSError:
        return False
    return True
