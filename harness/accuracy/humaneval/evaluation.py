"""Tests model-written code in the sandbox, several at a time, and says which answer is to blame when one breaks it.

In rounds: (1) code is extracted from the answers and the canonical solutions say what is right, before anything
written by a model runs; (2) the base tests of every different solution; (3, 4) the same for the plus tests of those
that passed. Equal solutions of a problem are tested once.

Each sandbox works through its share in order. When it dies, falls silent or breaks a limit, the item that it had begun
has failed (nothing of an earlier item is alive by then), and the rest go to a new sandbox.
"""

import itertools
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.accuracy.humaneval import humaneval_checks as checks
from harness.accuracy.humaneval.humaneval_checks import Truth
from harness.accuracy.humaneval.published_rows import Problem
from harness.accuracy.sandbox import Finished, Limits, Sandbox
from harness.errors import CellError

WORKER = Path(__file__).with_name("humaneval_worker.py")
VALUES = Path(__file__).with_name("humaneval_values.py")
CODE = (WORKER, VALUES, Path(checks.__file__))  # what a verdict depends on
SILENCE_S = 150.0  # evalplus gives a sample at most 62 s
ITEMS_PER_SANDBOX = (8, 64)  # at least: one starts in a second; at most: its output is limited

Key = tuple[str, str]  # (task id, text or solution)
Step = dict[str, Any]  # what the worker is asked to do, under its `key`
Said = dict[str, Any]  # what the worker wrote of a step


@dataclass(frozen=True)
class Verdict:
    """`base` and `plus`: pass, fail, timeout, or what its sandbox was killed for; `plus` None where it was not run,
    which is also where base failed: both must pass."""

    solution: str
    parsed: bool  # running the code left something to call by the entry point's name
    base: str
    plus: str | None

    @property
    def status(self) -> str:
        return self.base if self.base != "pass" else self.plus or "pass"


def evaluate(
    problems: dict[str, Problem],
    answers: dict[str, list[str]],
    *,
    plus: bool,
    sandbox: Sandbox,
    work_dir: Path,
    timeout_s: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[Verdict]]:
    """`answers`: raw texts with code, by task id. Raises CellError when evaluation itself fails, or takes too long."""
    rounds = _Rounds(sandbox, work_dir, time.monotonic() + timeout_s, 4 if plus else 2, progress)
    texts = {(name, text): None for name in answers for text in answers[name]}
    first = rounds.work([_extraction(problems, key) for key in texts] + [_truth(problems[n], "base") for n in answers])
    found = {key: first["extract", *key] for key in texts}
    solutions = {(key[0], said["solution"]): None for key, said in found.items() if said.get("solution")}
    base = rounds.judge(problems, "base", solutions, _truths("base", first))
    extra: dict[Key, str] = {}
    if plus:
        passed = [key for key in solutions if base[key] == "pass"]
        third = rounds.work([_truth(problems[name], "plus") for name in dict.fromkeys(name for name, _ in passed)])
        extra = rounds.judge(problems, "plus", passed, _truths("plus", third))

    def verdict(name: str, text: str) -> Verdict:
        said = found[name, text]
        if "broken" in said:
            return Verdict("", False, said["broken"], None)
        key = (name, said["solution"])
        parsed = key in base and key not in rounds.undefined
        return Verdict(said["solution"], parsed, base.get(key, "fail"), extra.get(key))

    return {name: [verdict(name, text) for text in texts] for name, texts in answers.items()}


def _extraction(problems: dict[str, Problem], key: Key) -> Step:
    name, text = key
    return {"task": "extract", "key": ("extract", *key), "text": text, "entry_point": problems[name]["entry_point"]}


def _truth(problem: Problem, which: str) -> Step:
    return {
        "task": "truth",
        "key": ("truth", problem["task_id"]),
        "code": problem["prompt"] + problem["canonical_solution"],
        "entry_point": problem["entry_point"],
        "arguments": problem[f"{which}_input"],
        "tolerance": problem["atol"],
    }


def _truths(which: str, said: dict[Any, Said]) -> dict[str, Truth]:
    truths = {}
    for (task, name, *_), answer in said.items():
        if task == "truth":
            if "broken" in answer:
                raise CellError(f"{name}: the canonical solution broke on the {which} tests ({answer['broken']})")
            truths[name] = Truth(answer["values"], answer["times_s"], answer["exact"])
    return truths


@dataclass
class _Rounds:
    sandbox: Sandbox
    work_dir: Path
    deadline: float
    expected: int  # rounds in all
    progress: Callable[[int, int], None]
    number: Any = field(default_factory=itertools.count)
    cancelled: threading.Event = field(default_factory=threading.Event)
    undefined: set[Key] = field(default_factory=set)  # (task id, solution) without a function of the asked name

    def judge(
        self, problems: dict[str, Problem], which: str, solutions: Any, truths: dict[str, Truth]
    ) -> dict[Key, str]:
        said = self.work(
            [
                {
                    "task": "run",
                    "key": ("run", name, solution),
                    "code": solution,
                    "entry_point": problems[name]["entry_point"],
                    "arguments": problems[name][f"{which}_input"],
                    "times_s": truths[name].times_s,
                    "exact": truths[name].exact,
                }
                for name, solution in solutions
            ]
        )
        self.undefined |= {(name, code) for (_, name, code), answer in said.items() if answer.get("defined") is False}
        return {
            (name, solution): answer.get("broken") or checks.status(problems[name], which, truths[name], answer)
            for (_, name, solution), answer in said.items()
        }

    def work(self, items: list[Step]) -> dict[Any, Said]:
        """What the worker said of each item, by its `key`; {"broken": why} where it broke the sandbox."""
        number, said = next(self.number), {}
        least, most = ITEMS_PER_SANDBOX
        count = max(1, min(os.cpu_count() or 1, 8, len(items) // least))

        def share(start: int) -> None:
            pending = items[start::count]
            while pending and not self.cancelled.is_set():
                done = self._sandbox(pending[:most])
                said.update(done)
                pending = [item for item in pending if item["key"] not in done]
                steps = 100 * self.expected
                self.progress(100 * number + 100 * len(said) // len(items), steps)

        with ThreadPoolExecutor(count) as pool:
            try:
                for future in [pool.submit(share, start) for start in range(count)]:
                    future.result()
            except BaseException:  # Ctrl-C, or one share failed: the pool waits for the other sandboxes
                self.cancelled.set()
                raise
        if not items:
            self.progress(100 * (number + 1), 100 * self.expected)
        return said

    def _sandbox(self, items: list[Step]) -> dict[Any, Said]:
        """Return what was said of the items that this sandbox finished or broke on: at least one."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="sandbox-", dir=self.work_dir))
        (mount := folder / "inside").mkdir()
        job, inputs, lines = folder / "job.json", {}, []
        for index, item in enumerate(items):
            sent = {name: value for name, value in item.items() if name not in ("key", "arguments")}
            if "arguments" in item:
                inputs[item["key"][1]] = item["arguments"]
                sent["inputs"] = item["key"][1]
            lines.append({"id": index, **sent})
        host = os.readlink("/proc/self/ns/pid")
        job.write_text(json.dumps({"host_pid_namespace": host, "inputs": inputs, "items": lines}))
        job.chmod(0o644)  # the sandbox may run as another user
        files = {"/input/humaneval_worker.py": WORKER, "/input/job.json": job, "/input/humaneval_values.py": VALUES}
        finished = self.sandbox.run(
            [
                sys.executable,
                "-I",
                *(self.sandbox.inside(f"/input/{name}", files) for name in ("humaneval_worker.py", "job.json")),
            ],
            files=files,
            limits=Limits(wall_s=max(0.0, self.deadline - time.monotonic()), silence_s=SILENCE_S),
            work_dir=mount,
            cancelled=self.cancelled.is_set,
        )
        said = read(finished, len(items))
        return {item["key"]: said[index] for index, item in enumerate(items) if index in said}


def read(finished: Finished, count: int) -> dict[int, Said]:
    """What a sandbox with `count` items said of each, by number, and who is to blame if it broke."""
    said: dict[int, Said] = {}
    begun = None
    for line in finished.stdout.split(b"\n"):
        try:
            answer = json.loads(line)
        except ValueError:
            continue  # cut off
        if not isinstance(answer, dict):
            continue
        if "start" in answer:
            begun = answer["start"]
        elif "id" in answer:
            said[answer["id"]] = answer
    if len(said) == count:
        return said
    if finished.ended == "wall":
        raise CellError(
            f"the code was not evaluated within timeout_s; {count - len(said)} steps of this round are left"
        )
    if begun is None or begun in said:
        last = finished.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise CellError(f"evalplus failed in the sandbox ({finished.ended}, exit code {finished.returncode}): {last}")
    return {**said, begun: {"broken": "crash" if finished.ended == "exit" else finished.ended}}
