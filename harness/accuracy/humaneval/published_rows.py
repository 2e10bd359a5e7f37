"""The rows of HumanEval+ as evalplus publishes them: a test is an input, and the canonical solution says its result."""

import re
from pathlib import Path

from harness.accuracy.data_files import DataError, Row, read_json_lines
from harness.accuracy.datasets import Source
from harness.accuracy.humaneval.download import RELEASE, RELEASES, cached, download, unreachable
from harness.errors import CellError

FILES = "HumanEvalPlus.jsonl*"
TEXTS = ("task_id", "prompt", "entry_point", "canonical_solution")
FIELDS = (*TEXTS, "base_input", "plus_input", "atol")

Problem = Row  # a row with FIELDS


def row_problems(data: Source) -> list[str]:
    if missing := data.problems(FILES):
        return missing
    if data.directory is None and not cached().exists():
        reason = unreachable()
        return [reason] if reason else []
    try:
        read_problems(cached() if data.directory is None else _file(data))
    except DataError as error:
        return [str(error)]
    return []


def load_problems(data: Source) -> dict[str, Problem]:
    """By task id, in the file's order."""
    return read_problems(_file(data))


def read_problems(path: Path) -> dict[str, Problem]:
    """By task id. Raises DataError for rows of another release or another data set."""
    rows = read_json_lines(path, TEXTS[:1], _wrong)
    found = {row["task_id"]: row for row in rows}
    if len(found) < len(rows):
        names = [row["task_id"] for row in rows]
        raise DataError(path, f"task_id {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return found


def _wrong(row: Row) -> str | None:
    """evalplus's rows have inputs in place of the original's assertions; MBPP's have no function to complete."""
    if lacking := [name for name in FIELDS if name not in row]:
        original = "; these are rows of the original HumanEval" if "base_input" in lacking and "test" in row else ""
        return f"no {', '.join(lacking)}{original}; put {RELEASE} there ({RELEASES})"
    for name in TEXTS:
        if not isinstance(row[name], str):
            return f"{name} is not a text"
    if not re.search(rf"^(async )?def +{re.escape(row['entry_point'])}\b", row["prompt"], re.MULTILINE):
        return f"its prompt has no function {row['entry_point']!r} to complete; put {RELEASE} there ({RELEASES})"
    for name in ("base_input", "plus_input"):
        if not isinstance(row[name], list) or not all(isinstance(arguments, list) for arguments in row[name]):
            return f"{name} is not a list of argument lists"
    if isinstance(row["atol"], bool) or not isinstance(row["atol"], int | float):
        return f"atol {row['atol']!r} is not a number"
    return None


def _file(data: Source) -> Path:
    if data.directory is not None:
        found = sorted(data.directory.glob(FILES))
        if not found:
            raise CellError(f"{data.directory} has no {FILES}")
        return found[0]
    if not cached().exists():
        download(cached())
    return cached()
