"""Which items are asked: lm-eval's built-in tasks, their data from the hub or from a mirror, and a seeded subset.

A mirror replaces nothing but the data. For each task a small YAML is written which includes the built-in file and
swaps the data set, so that prompts, few-shot examples, filters and scores stay lm-eval's own. What is read without
lm-eval (names, subjects, problems) is for preflight: importing lm-eval is slow.
"""

import os
import random
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from harness.accuracy.data_files import write_json_lines
from harness.accuracy.datasets import Source, pinned, unreachable_hub
from harness.accuracy.lm_eval import data as lm_eval_data
from harness.errors import CellError, did_you_mean
from harness.hub import access, cache
from harness.hub.commits import built_folders
from harness.hub.failures import Place, first_line
from harness.hub.waiting import bound

NAME = re.compile(r"""^["']?(?:task|group|tag)["']?:[ \t]*["']?([\w.+-]+)["']?[ \t]*$""", re.MULTILINE)
LISTED = re.compile(r"""^["']?tag["']?:[ \t]*\n((?:[ \t]*-[ \t]*.+\n)+)""", re.MULTILINE)


def builtin_folder(data: str | None) -> Path | None:
    """lm-eval's tasks for this data (all for None), found without importing it. None: it is not installed."""
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "tasks" / (lm_eval_data.DATA[data].tasks if data else "")


def known_names(folder: Path) -> dict[str, Path]:
    """Names of the tasks, groups and tags under a task folder, each with a file that says it; 1 s for all 14,000."""
    return {name: files[-1] for name, files in known_files(folder).items()}


def known_files(folder: Path) -> dict[str, list[Path]]:
    """Names of the tasks, groups and tags under a task folder, each with all files that say it."""
    names: dict[str, list[Path]] = {}
    for directory, _, files in os.walk(folder):
        for file in sorted(files):
            if file.endswith(".yaml"):
                path = Path(directory) / file
                text = path.read_text(encoding="utf-8")
                listed = [line.strip(" \t-\"'") for block in LISTED.findall(text) for line in block.splitlines()]
                for name in dict.fromkeys(NAME.findall(text) + listed):
                    names.setdefault(name, []).append(path)
    return names


def hub_repository(task_file: Path) -> str | None:
    """The data set that a task's YAML, or one that it includes, names; None for a group or a task without one."""
    found = _value(task_file, "dataset_path")
    return None if found in ("json", "csv", "parquet", "text") else found


@lru_cache(maxsize=64)
def repositories(task: str) -> tuple[str, ...]:
    """Return the data sets on the hub that a task, group or tag of lm-eval reads, as far as its YAML files tell."""
    folder = builtin_folder(None)
    if folder is None:
        return ()
    found: set[str] = set()
    _gather(task, known_files(folder), found, set())
    return tuple(sorted(found))


def _gather(name: str, files: dict[str, list[Path]], found: set[str], seen: set[str]) -> None:
    if name in seen:
        return
    seen.add(name)
    for file in files.get(name, ()):
        if repository := hub_repository(file):
            found.add(repository)
            continue
        for entry in _members(file):
            if isinstance(entry, dict) and entry.get("dataset_path"):
                found.add(str(entry["dataset_path"]))
            else:
                _gather(str(entry.get("task") if isinstance(entry, dict) else entry), files, found, seen)


def _members(group_file: Path) -> list[Any]:
    """Return the entries of a group's `task` list."""
    try:
        read = yaml.load(group_file.read_text(encoding="utf-8"), _AnyTag)
    except yaml.YAMLError:
        return []
    members = read.get("task") if isinstance(read, dict) else None
    return members if isinstance(members, list) else []


class _AnyTag(yaml.SafeLoader):
    """Reads lm-eval's YAML without its code: `!function` gives None."""


_AnyTag.add_multi_constructor("!", lambda loader, suffix, node: None)


def output_type(task: str) -> str | None:
    """generate_until, multiple_choice, ... as the task's YAML says; None for a group, and where it is not said."""
    folder = builtin_folder(None)
    file = known_names(folder).get(task) if folder else None
    return _value(file, "output_type") if file else None


def _value(task_file: Path, key: str) -> str | None:
    """Of a key in a task's YAML, or in one that it includes."""
    text = task_file.read_text(encoding="utf-8")
    if found := re.search(rf"^{key}:[ \t]*[\"']?([\w./-]+)", text, re.MULTILINE):
        return found[1]
    included = re.search(r"^[\"']?include[\"']?:[ \t]*[\"']?([^\s\"']+)", text, re.MULTILINE)
    parent = task_file.parent / included[1] if included else None
    return _value(parent, key) if parent and parent.is_file() and parent != task_file else None


def subjects(task: str, folder: Path, mirror: Path) -> dict[str, Path]:
    """The built-in file of every MMLU subject that `task` (mmlu, mmlu_stem, mmlu_anatomy) means and the mirror has."""
    chosen = {}
    for path in sorted(folder.glob("mmlu_*.yaml")):
        config = yaml.safe_load(path.read_text())
        subject = config["task"].removeprefix("mmlu_")
        wanted = task in ("mmlu", config["task"]) or config.get("tag") == f"{task}_tasks"
        if wanted and (mirror / "test" / f"{subject}_test.csv").is_file():
            chosen[subject] = path
    return chosen


def problems(task: str, data: str | None, fewshot: int, source: Source) -> list[str]:
    """What is wrong with the task's name or its data, as far as files on this machine tell."""
    folder = builtin_folder(data)
    if folder is None:
        return ["lm-eval is not installed; pip install lm-eval==0.4.13"]
    names = known_names(folder)
    if task not in names:
        where = f"lm-eval has no task {task!r}" + (f" on {data} data" if data else "")
        close = did_you_mean(task, list(names))
        return [where + (close if len(names) < 200 else close.split(" available:")[0].rstrip(";"))]
    if source.directory is None:
        repository = lm_eval_data.DATA[data].hub if data else hub_repository(names[task])
        missing = unreachable_hub(repository) if repository else None
        advice = ", or set data.root to a mirror or to pocket" if data else ""
        return [f"data: {missing}{advice}"] if missing else []
    if data != "mmlu":
        return lm_eval_data.row_problems(lm_eval_data.DATA[data], source, fewshot)
    if missing := source.problems("test/*_test.csv"):
        return missing
    chosen = subjects(task, folder, source.directory)
    if not chosen:
        return [f"data: {source.directory}/test has no subject of {task}; ask for another task, or take another mirror"]
    return lm_eval_data.mmlu_problems(source.directory, list(chosen), fewshot)


def load_tasks(task: str, data: str | None, source: Source, work_dir: Path) -> tuple[Any, dict[str, Any]]:
    """lm-eval's TaskManager and the leaf tasks by name, data loaded. Raises CellError when the data cannot be had."""
    from lm_eval.tasks import TaskManager

    folder = builtin_folder(data)
    if source.directory is not None:
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
    """Task files that read the mirror, in a folder of their own under `work_dir`: their task names, and the folder."""
    out = work_dir / "tasks"
    out.mkdir(parents=True, exist_ok=True)
    if data != "mmlu":
        kind = lm_eval_data.DATA[data]
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
            docs = lm_eval_data.mmlu_docs(mirror / split / f"{subject}_{split}.csv")
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
