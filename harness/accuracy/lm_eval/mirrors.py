"""What a mirror of lm-eval's data sets holds, and whether it does: read without lm-eval, for preflight."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.accuracy.data_files import Check, Row, read_csv, read_json_lines
from harness.errors import CellError

MMLU_COLUMNS = ("question", "choice0", "choice1", "choice2", "choice3", "answer")
NUMBER = re.compile(r"-?[0-9.]*[0-9][0-9.]*")
# regexes_to_ignore of lm-eval's gsm8k.yaml, in its order; it compares what is left with the model's number
GSM8K_IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")


def _gsm8k(row: Row) -> str | None:
    if not row["question"].strip():
        return "no question"
    target = row["answer"]
    for ignored in GSM8K_IGNORED:
        target = re.sub(ignored, "", target)
    scored = NUMBER.fullmatch(target)
    return None if scored else "its answer has no '#### NUMBER' at its end, which lm-eval compares with the model's"


def _arc(row: Row) -> str | None:
    texts, labels = row["choices"]["text"], row["choices"]["label"]
    if len(texts) != len(labels) or not all(isinstance(text, str) for text in texts):
        return "choices needs as many text as label"
    return None if row["answerKey"] in labels else f"answerKey {row['answerKey']!r} is not among {labels}"


def _hellaswag(row: Row) -> str | None:
    label, endings = int(row["label"]), row["endings"]
    if not all(isinstance(text, str) for text in endings):
        return "endings needs texts"
    return None if 0 <= label < len(endings) else f"label {label} is not below {len(endings)}, the number of endings"


def _winogrande(row: Row) -> str | None:
    if "_" not in row["sentence"]:
        return "its sentence has no gap (_)"
    return None if row["answer"] in ("1", "2") else f"answer {row['answer']!r} is not '1' or '2'"


def _truthfulqa(row: Row) -> str | None:
    for name in ("mc1_targets", "mc2_targets"):
        choices, labels = row[name]["choices"], row[name]["labels"]
        if len(choices) != len(labels) or not choices or not set(labels) <= {0, 1} or 1 not in labels:
            return f"{name} needs a label for each choice, 0 or 1, and one that is 1"
    return None


def _mmlu(row: Row) -> str | None:
    if not row["question"].strip():
        return "no question"
    return None if row["answer"].strip() in ("0", "1", "2", "3") else f"answer {row['answer']!r} is not 0, 1, 2 or 3"


@dataclass(frozen=True)
class DataSet:
    """Data that a mirror may hold. MMLU's lies in CSV files; the others' in SPLIT.jsonl, a row a line as on the hub."""

    hub: str  # its name there
    tasks: str  # the folder of lm-eval's built-in tasks that read it
    columns: tuple[str, ...] = ()  # of a row
    wrong: Check | None = None  # what else is wrong with a row
    asked: str = "test"  # the split that is asked ...
    shots: str | None = "train"  # ... and the one that examples are drawn from; None: they are in the task's prompt

    def rows(self, path: Path) -> list[Row]:
        """Raises DataError."""
        return read_json_lines(path, self.columns, self.wrong)


DATA = {  # mirror folder -> what lies in it
    "mmlu": DataSet("cais/mmlu", "mmlu/default", shots="dev"),
    "gsm8k": DataSet("openai/gsm8k", "gsm8k", ("question", "answer"), _gsm8k),
    "arc_challenge": DataSet("allenai/ai2_arc", "arc", ("id", "question", "choices", "answerKey"), _arc),
    "hellaswag": DataSet(
        *("Rowan/hellaswag", "hellaswag", ("activity_label", "ctx_a", "ctx_b", "endings", "label"), _hellaswag),
        asked="validation",
    ),
    "winogrande": DataSet(
        *("allenai/winogrande", "winogrande", ("sentence", "option1", "option2", "answer"), _winogrande),
        asked="validation",
    ),
    "truthfulqa_mc2": DataSet(
        *("truthfulqa/truthful_qa", "truthfulqa", ("question", "mc1_targets", "mc2_targets"), _truthfulqa),
        asked="validation",
        shots=None,
    ),
}


def row_problems(data: DataSet, mirror: Path, fewshot: int) -> list[str]:
    """`mirror`: the folder of the data set."""
    shots = mirror / f"{data.shots}.jsonl"
    spare = int(data.asked == "validation" and fewshot > 0)  # where a task has no test split (lm-eval 0.4.13)
    try:
        if data.shots and (few := too_few_shots(shots, data.rows, fewshot, spare)):
            return few
        data.rows(mirror / f"{data.asked}.jsonl")
    except CellError as error:
        return [str(error)]
    return []


def mmlu_problems(mirror: Path, subjects: list[str], fewshot: int) -> list[str]:
    """One a subject: its examples, then its questions."""
    found = []
    for name in subjects:
        try:
            found += too_few_shots(mirror / "dev" / f"{name}_dev.csv", mmlu_docs, fewshot)
            mmlu_docs(mirror / "test" / f"{name}_test.csv")
        except CellError as error:
            found.append(str(error))
    return found


def too_few_shots(path: Path, read: Callable[[Path], list[Any]], fewshot: int, spare: int = 0) -> list[str]:
    """`spare`: how many more lm-eval draws, in order to leave out the item that is asked."""
    if not path.is_file():  # lm-eval opens it for zero shots too
        return [f"data: {path} is missing; it holds the few-shot examples"]
    examples = len(read(path))
    if examples >= fewshot + spare:
        return []
    drawn = f" (lm-eval draws {fewshot + spare})" if spare else ""
    return [f"data: {path} has {examples} examples for {fewshot} shots{drawn}; lower fewshot"]


def mmlu_docs(path: Path) -> list[Row]:
    """Rows of ``question,choice0..choice3,answer`` in the hub's form: question, choices, answer (0-3)."""
    return [
        {"question": row["question"], "choices": [row[f"choice{n}"] for n in range(4)], "answer": int(row["answer"])}
        for row in read_csv(path, MMLU_COLUMNS, _mmlu)
    ]
