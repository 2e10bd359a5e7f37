"""Which items are asked: lm-eval's built-in tasks, their data from the hub or from a mirror, and a seeded subset.

A mirror replaces nothing but the data. For each task a small YAML is written which includes the built-in file and
swaps the data set, so that prompts, few-shot examples, filters and scores stay lm-eval's own.
"""

import random
from pathlib import Path
from typing import Any

import yaml

from harness.accuracy.data_files import write_json_lines
from harness.accuracy.datasets import Source, pinned
from harness.accuracy.lm_eval.builtin_tasks import builtin_folder, known_names, subjects
from harness.accuracy.lm_eval.mirrors import DATA, mmlu_docs
from harness.errors import CellError
from harness.hub import access, cache
from harness.hub.commits import built_folders
from harness.hub.failures import Place, first_line
from harness.hub.waiting import bound


def load_tasks(task: str, data: str | None, source: Source, work_dir: Path) -> tuple[Any, dict[str, Any]]:
    """lm-eval's TaskManager and the leaf tasks by name, data loaded. Raises CellError when the data cannot be had."""
    from lm_eval.tasks import TaskManager

    folder = builtin_folder(data)
    if source.directory is not None and data is not None and folder is not None:
        names, folder = write_mirror(task, data, source.directory, folder, work_dir)
    else:
        names = [task]
    bound()
    manager = TaskManager(include_path=str(folder), include_defaults=False) if data else TaskManager()
    try:
        with pinned():
            tasks = manager.load(names)["tasks"]
    except Exception as error:  # datasets raises ConnectionError, ValueError, FileNotFoundError, ...
        if source.directory is None:
            said = f"{access.why(error, Place(source.name))}, or set data.root to a mirror or to pocket"
        else:
            said = f"its data cannot be loaded ({type(error).__name__}: {first_line(error)})"
        raise CellError(f"lm-eval task {task}: {said}") from error
    if source.directory is None and "/" in source.name:
        cache.check(Place(source.name), built=built_folders(source.name))
    return manager, tasks


def write_mirror(task: str, data: str, mirror: Path, folder: Path, work_dir: Path) -> tuple[list[str], Path]:
    """Task files that read the mirror, in a separate folder under `work_dir`: their task names, and the folder."""
    out = work_dir / "tasks"
    out.mkdir(parents=True, exist_ok=True)
    if data != "mmlu":
        kind = DATA[data]
        files = {  # written again: datasets' reader takes no byte-order mark
            split: str(write_json_lines(work_dir / f"{split}.jsonl", kind.rows(mirror / f"{split}.jsonl")))
            for split in filter(None, (kind.shots, kind.asked))
        }
        _write_task(out, task, known_names(folder)[task], files, work_dir)
        return [task], out
    names = []
    for subject, builtin in subjects(task, folder, mirror).items():
        files = {}
        for split in ("test", "dev"):
            docs = mmlu_docs(mirror / split / f"{subject}_{split}.csv")
            # key order and `subject` as on the hub, so that document hashes are the hub's
            rows = [{"question": doc["question"], "subject": subject, **doc} for doc in docs]
            files[split] = str(write_json_lines(work_dir / f"{subject}_{split}.jsonl", rows))
        names.append(f"mmlu_{subject}")
        _write_task(out, names[-1], builtin, files, work_dir)
    return names, out


def _write_task(out: Path, name: str, builtin: Path, files: dict[str, str], work_dir: Path) -> None:
    """A task dict given to lm-eval would not merge with the built-in one; a file that includes it does."""
    swap = {
        "include": str(builtin),
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files, "cache_dir": str(work_dir / "datasets")},
    }
    (out / f"{name}.yaml").write_text(yaml.safe_dump(swap, sort_keys=False))


def choose_items(sizes: dict[str, int], items: int | None, seed: str) -> dict[str, list[int]]:
    """Indices per task: `items` of all, every item with the same chance, every task in proportion to its size (+-1).

    Systematic sampling: the items of each task in random order, the tasks one after another in random order, and
    every (total / items)-th of that line from a random start. A task without items is left out.
    """
    total = sum(sizes.values())
    if items is None or items >= total:
        return {name: list(range(size)) for name, size in sizes.items()}
    draw = random.Random(seed)  # a str seed does not depend on PYTHONHASHSEED
    names = sorted(sizes)
    draw.shuffle(names)
    line = [(name, index) for name in names for index in draw.sample(range(sizes[name]), sizes[name])]
    start = draw.random()
    chosen: dict[str, list[int]] = {}
    for step in range(items):
        name, index = line[min(int((start + step) * total / items), total - 1)]
        chosen.setdefault(name, []).append(index)
    return {name: sorted(chosen[name]) for name in sizes if name in chosen}
