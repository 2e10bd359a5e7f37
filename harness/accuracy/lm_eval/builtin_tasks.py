"""What lm-eval's task files say, read without importing lm-eval, which is slow: for the plan and for preflight."""

import os
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from harness.accuracy.datasets import Source, unreachable_hub
from harness.accuracy.lm_eval.mirrors import DATA, mmlu_problems, row_problems
from harness.errors import did_you_mean

NAME = re.compile(r"""^["']?(?:task|group|tag)["']?:[ \t]*["']?([\w.+-]+)["']?[ \t]*$""", re.MULTILINE)
LISTED = re.compile(r"""^["']?tag["']?:[ \t]*\n((?:[ \t]*-[ \t]*.+\n)+)""", re.MULTILINE)


def builtin_folder(data: str | None) -> Path | None:
    """lm-eval's tasks for this data (all for None), found without importing it. None: it is not installed."""
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "tasks" / (DATA[data].tasks if data else "")


def known_names(folder: Path) -> dict[str, Path]:
    """Names of the tasks, groups and tags under a task folder, each with a file that says it; 1 s for all 14,000."""
    return {name: files[-1] for name, files in known_files(folder).items()}


@lru_cache(maxsize=4)
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


@lru_cache(maxsize=64)
def output_type(task: str) -> str | None:
    """generate_until, multiple_choice, ... as the task's YAML says; None for a group, and where it is not said."""
    folder = builtin_folder(None)
    file = known_names(folder).get(task) if folder else None
    return _value(file, "output_type") if file else None


def _value(task_file: Path, key: str) -> str | None:
    """Return the value of a key in a task's YAML, or in one that it includes."""
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
        repository = DATA[data].hub if data else hub_repository(names[task])
        unreachable = unreachable_hub(repository) if repository else None
        advice = ", or set data.root to a mirror or to pocket" if data else ""
        return [f"data: {unreachable}{advice}"] if unreachable else []
    if data is None:
        return []  # a task of the hub has no mirror
    if data != "mmlu":
        missing = source.problems(f"{DATA[data].asked}.jsonl")
        return missing or row_problems(DATA[data], source.directory, fewshot)
    if missing := source.problems("test/*_test.csv"):
        return missing
    chosen = subjects(task, folder, source.directory)
    if not chosen:
        return [f"data: {source.directory}/test has no subject of {task}; ask for another task, or take another mirror"]
    return mmlu_problems(source.directory, list(chosen), fewshot)
