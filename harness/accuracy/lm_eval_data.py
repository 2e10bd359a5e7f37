"""What a mirror of lm-eval's data sets holds, and whether it does: read without lm-eval, for preflight."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.accuracy.datasets import Source
from harness.errors import CellError
from harness.jsonlines import json_lines


@dataclass(frozen=True)
class DataSet:
    """Data that a mirror may hold. MMLU's lies in CSV files; the others' in SPLIT.jsonl, a row a line as on the hub."""

    hub: str  # its name there
    tasks: str  # the folder of lm-eval's built-in tasks that read it
    columns: tuple[str, ...] = ()  # of a row
    asked: str = "test"  # the split that is asked ...
    shots: str | None = "train"  # ... and the one that examples are drawn from; None: they stand in the task's prompt


DATA = {  # mirror folder -> what lies in it
    "mmlu": DataSet("cais/mmlu", "mmlu/default", shots="dev"),
    "gsm8k": DataSet("openai/gsm8k", "gsm8k", ("question", "answer")),
    "arc_challenge": DataSet("allenai/ai2_arc", "arc", ("id", "question", "choices", "answerKey")),
    "hellaswag": DataSet(
        *("Rowan/hellaswag", "hellaswag", ("activity_label", "ctx_a", "ctx_b", "endings", "label")), asked="validation"
    ),
    "winogrande": DataSet(
        *("allenai/winogrande", "winogrande", ("sentence", "option1", "option2", "answer")), asked="validation"
    ),
    "truthfulqa_mc2": DataSet(
        *("truthfulqa/truthful_qa", "truthfulqa", ("question", "mc1_targets", "mc2_targets")),
        asked="validation",
        shots=None,
    ),
}


def row_problems(data: DataSet, source: Source, fewshot: int) -> list[str]:
    if missing := source.problems(f"{data.asked}.jsonl"):
        return missing
    shots = source.directory / f"{data.shots}.jsonl"
    spare = int(data.asked == "validation" and fewshot > 0)  # where a task has no test split (lm-eval 0.4.13)
    if data.shots and (few := too_few_shots(shots, fewshot, spare)):
        return few
    paths = [source.directory / f"{data.asked}.jsonl", *([shots] if data.shots else [])]
    return [problem for path in paths for problem in _broken_row(path, data.columns)]


def _broken_row(path: Path, columns: tuple[str, ...]) -> list[str]:
    """The first row that lm-eval could not read, if any."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                lacking = [name for name in columns if name not in json.loads(line)]
            except (ValueError, TypeError) as error:
                return [f"data: {path}, line {number}: not a JSON object ({error})"]
            if lacking:
                return [f"data: {path}, line {number}: no {', '.join(lacking)}; a row has {', '.join(columns)}"]
    return []


def too_few_shots(path: Path, fewshot: int, spare: int = 0) -> list[str]:
    """`spare`: how many more lm-eval draws, in order to leave out the item that is asked."""
    if not path.is_file():  # lm-eval opens it for zero shots too
        return [f"data: {path} is missing; it holds the few-shot examples"]
    examples = len(mmlu_docs(path)) if path.suffix == ".csv" else sum(1 for _ in json_lines(path))
    if examples >= fewshot + spare:
        return []
    drawn = f" (lm-eval draws {fewshot + spare})" if spare else ""
    return [f"data: {path} has {examples} examples for {fewshot} shots{drawn}; lower fewshot"]


def mmlu_docs(path: Path) -> list[dict[str, Any]]:
    """Rows of ``question,choice0..choice3,answer`` in the hub's form: question, choices, answer (0-3)."""
    docs = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            try:
                answer, choices = int(row["answer"]), [row[f"choice{n}"] for n in range(4)]
            except (KeyError, TypeError, ValueError) as error:
                raise CellError(f"{path}: item {number} is not question,choice0..choice3,answer ({error!r})") from error
            if not (row["question"] and 0 <= answer < 4 and None not in choices):
                raise CellError(f"{path}: item {number} lacks a question or a choice, or its answer is not 0 to 3")
            docs.append({"question": row["question"], "choices": choices, "answer": answer})
    return docs
