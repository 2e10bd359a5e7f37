"""Published answers to AlpacaEval's instructions: by whom, and their places on the leaderboard."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from harness.accuracy.alpaca_eval.package import package_folder
from harness.accuracy.data_files import DataError, Row, read_json
from harness.accuracy.datasets import Source
from harness.accuracy.items import digest
from harness.errors import CellError, did_you_mean
from harness.hub import access, cache
from harness.hub.commits import DATASET, commit_of
from harness.hub.failures import Place
from harness.hub.waiting import bound
from harness.records.judge_details import Standing

HUB = "tatsu-lab/alpaca_eval"
# Answers of gpt4_1106_preview and text_davinci_003; the hub's loading script is refused by datasets >= 4.
HUB_FILES = ("alpaca_eval_gpt4_baseline.json", "alpaca_eval.json")
HUB_REFERENCES = ("gpt4_1106_preview", "text_davinci_003")
HUB_POPULATION = 805
ANSWER = ("instruction", "output")  # what an item of the data has, beside its generator
LEADERBOARD = "leaderboards/data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv"  # in the package alpaca-eval
FAR_APART = 20.0  # points of win rate between a strong and a weak reference


@dataclass(frozen=True)
class Reference:
    """An instruction, and the answer of one generator to it."""

    id: str
    group: str | None
    doc_hash: str
    instruction: str
    response: str
    generator: str | None = None


def references(data: Source) -> list[str]:
    """Names of the references that the data has: a file's name, or the generator named in it."""
    return sorted({name for path, items in _files(data) for name in (path.stem, items[0].get("generator")) if name})


def load_references(data: Source, name: str | None = None) -> list[Reference]:
    """Every instruction once, with the answer of this reference; of the first that the data has for None.

    Ids number the first file's order.
    """
    files = _files(data)
    if not files:
        raise CellError(f"{data.directory} has no *.json")
    order = list(dict.fromkeys(item["instruction"] for item in files[0][1]))
    chosen = [items for path, items in files if name in (None, path.stem, items[0].get("generator"))]
    if not chosen:
        raise CellError(f"unknown reference {name!r}{did_you_mean(name or '', references(data))}")
    by_instruction = {item["instruction"]: item for item in reversed(chosen[0])}
    if missing := [text for text in order if text not in by_instruction]:
        raise CellError(f"reference {name!r} lacks {len(missing)} of {len(order)} instructions")
    return [
        Reference(
            id=f"alpaca_eval/{number}",
            group=by_instruction[text].get("dataset"),
            doc_hash=digest(text),
            instruction=text,
            response=by_instruction[text]["output"].strip(),
            generator=by_instruction[text].get("generator"),
        )
        for number, text in enumerate(order)
    ]


def strong_and_weak(data: Source) -> tuple[Sequence[Reference], Sequence[Reference], Standing] | None:
    """The answers of the strongest and the weakest reference of the data; None unless known to be far apart."""
    names = list(dict.fromkeys(items[0].get("generator") or path.stem for path, items in _files(data) if items))
    known = sorted(((rate, name) for name in names if (rate := standing(name)) is not None), reverse=True)
    if len(known) < 2 or known[0][0] - known[-1][0] < FAR_APART:
        return None
    (best, strong), (worst, weak) = known[0], known[-1]
    where = f"AlpacaEval leaderboard, judge alpaca_eval_gpt4 (alpaca-eval {version('alpaca-eval')}, {LEADERBOARD})"
    published = Standing(strong, weak, (best, worst), where)
    return load_references(data, strong), load_references(data, weak), published


def standing(generator: str) -> float | None:
    """Win rate in percent against text_davinci_003 on the leaderboard that alpaca-eval ships; None if not there."""
    return _leaderboard().get(generator)


@lru_cache(maxsize=1)
def _leaderboard() -> dict[str, float]:
    path = package_folder() / LEADERBOARD
    with path.open(newline="", encoding="utf-8") as file:
        return {row[""]: float(row["win_rate"]) for row in csv.DictReader(file)}


def _files(data: Source) -> list[tuple[Path, list[Row]]]:
    paths = [_hub_file(name) for name in HUB_FILES] if data.directory is None else sorted(data.directory.glob("*.json"))
    found = []
    for path in paths:
        items = read_json(path)
        if not isinstance(items, list) or not items:
            raise DataError(path, "not a JSON list of AlpacaEval answers")
        for number, item in enumerate(items, 1):
            if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ANSWER):
                raise DataError(path, f"item {number} lacks {' or '.join(ANSWER)}, as texts")
        found.append((path, items))
    return found


def not_cached() -> str | None:
    """Say why where a file is in no cache and the hub cannot be asked."""
    from huggingface_hub import try_to_load_from_cache

    commit = commit_of(DATASET, HUB)
    cached = [try_to_load_from_cache(HUB, name, repo_type="dataset", revision=commit) for name in HUB_FILES]
    if all(isinstance(found, str) for found in cached) or not access.unreachable():
        return None
    return access.problem(Place(HUB))


def _hub_file(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    bound()
    try:
        found = Path(hf_hub_download(HUB, name, repo_type="dataset", revision=commit_of(DATASET, HUB)))
    except Exception as error:  # huggingface_hub raises its own, its HTTP library's and OSError
        raise CellError(f"{access.why(error, Place(HUB))}, or set data.root to a mirror or to pocket") from error
    cache.check(Place(HUB), [found])
    return found
