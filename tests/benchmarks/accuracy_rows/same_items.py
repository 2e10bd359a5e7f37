"""MMLU and GSM8K beside the `lm_eval` command: the same scores item by item, and how much sooner."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from table import Row

from accuracy_rows.served import Served
from accuracy_rows.stock import Stock, lm_eval
from harness.accuracy.datasets import source
from harness.accuracy.lm_eval.logged_samples import score_name
from harness.records import Outcome

SPEEDUP = 8.0
SUBJECTS = 10
OURS, THEIRS = "ours", "lm_eval"


@dataclass(frozen=True)
class Run:
    outcome: Outcome
    ours_s: float
    stock: Stock

    @property
    def ids(self) -> list[str]:
        return [row["id"] for row in self.outcome.rows]

    def different(self) -> list[str]:
        """Items with a score that is not the command's, or that it has not."""
        found = []
        for row in self.outcome.rows:
            theirs = {
                score_name(metric, name): float(sample[metric])
                for (item, name), sample in self.stock.samples.items()
                if item == row["id"]
                for metric in sample["metrics"]
            }
            if theirs != row["scores"]:
                found.append(row["id"])
        return found

    def largest_gap(self) -> float:
        """Between two log-probabilities of a choice, nats."""
        gaps = [0.0]
        for row in self.outcome.rows:
            theirs = [float(resp[0][0]) for resp in self.stock.samples[row["id"], "none"]["resps"]]
            gaps += [abs(ours - other) for ours, other in zip(row["logprobs"].values(), theirs, strict=True)]
        return max(gaps)


def mmlu(served: Served, items: int, repeats: int) -> Iterator[Row]:
    """Of ten subjects, drawn by a seed: a few items of each of 57 would share no few-shot prefix, as the whole does."""
    served = replace(served, data_root=str(_ten_subjects(served)))
    runs = [_run(served, "mmlu", items, 5, 256, f"mmlu-{n}") for n in range(repeats)]
    subjects = len({name.rpartition("/")[0] for name in runs[0].ids})
    ratios = [run.stock.wall_s / run.ours_s for run in runs]
    walls = {OURS: [run.ours_s for run in runs], THEIRS: [run.stock.wall_s for run in runs]}
    yield Row(f"MMLU, {items} items of {subjects} subjects, 5-shot: wall time", "s", "", walls, None)
    yield Row("times as fast", "x", f"at least {SPEEDUP:g}", {OURS: ratios}, min(ratios) >= SPEEDUP)
    yield _same("MMLU", runs)
    gap = f"largest difference of a choice's log-probability: {max(run.largest_gap() for run in runs):.3f} nats"
    yield Row("MMLU accuracy", "%", "", {OURS: [100 * _score(run, "acc") for run in runs]}, None, gap)


def gsm8k(served: Served, items: int, max_tokens: int) -> Iterator[Row]:
    """Greedy decoding is not deterministic between batches: `served.concurrency` 1 makes the two comparable."""
    run = _run(served, "gsm8k", items, 5, max_tokens, "gsm8k")
    yield Row(
        f"GSM8K, {items} items, 5-shot: wall time", "s", "", {OURS: [run.ours_s], THEIRS: [run.stock.wall_s]}, None
    )
    yield _same("GSM8K (strict and flexible)", [run])
    texts = sum(
        row["response"] == run.stock.samples[row["id"], "strict-match"]["resps"][0][0] for row in run.outcome.rows
    )
    note = f"{texts} of {items} answers are the same to the letter; concurrency {served.concurrency}"
    yield Row("GSM8K flexible", "%", "", {OURS: [100 * _score(run, "exact_match_flexible")]}, None, note)


def _ten_subjects(served: Served) -> Path:
    whole = source(served.data_root, "mmlu", "").directory
    root = served.folder("ten-subjects")
    names = sorted(path.name.removesuffix("_test.csv") for path in (whole / "test").glob("*_test.csv"))
    for split in ("dev", "test"):
        (root / "mmlu" / split).mkdir(parents=True)
        for name in random.Random(0).sample(names, min(SUBJECTS, len(names))):
            (root / "mmlu" / split / f"{name}_{split}.csv").symlink_to(whole / split / f"{name}_{split}.csv")
    return root


def _score(run: Run, name: str) -> float:
    return run.outcome.result.scores[name].value


def _same(name: str, runs: list[Run]) -> Row:
    shares = [100 * (1 - len(run.different()) / len(run.ids)) for run in runs]
    odd = sorted({item for run in runs for item in run.different()})
    note = f"different: {', '.join(odd[:10])}" if odd else ""
    return Row(f"{name}: items with the same scores", "%", "100", {OURS: shares}, min(shares) == 100.0, note)


def _run(served: Served, task: str, items: int, fewshot: int, max_tokens: int, name: str) -> Run:
    settings = {"task": task, "data": task, "fewshot": fewshot, "items": items, "max_tokens": max_tokens}
    folder = served.folder(name)
    (folder / "ours").mkdir()
    served.say(f"{name}: ours")
    began = time.monotonic()
    outcome = served.run("lm_eval", settings, folder / "ours")
    ours_s = time.monotonic() - began
    served.say(f"{name}: ours {ours_s:.1f} s; the lm_eval command")
    stock = lm_eval(served, task, [row["id"] for row in outcome.rows], fewshot, max_tokens, folder / "stock")
    served.say(f"{name}: lm_eval {stock.wall_s:.1f} s")
    return Run(outcome, ours_s, stock)
