"""Which items are asked, and what preflight says about them, without lm-eval and without an engine."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.accuracy import SUITES, suite_class
from harness.accuracy.lm_eval.builtin_tasks import builtin_folder, repositories, subjects
from harness.accuracy.lm_eval.mirrors import DATA
from harness.accuracy.lm_eval.suite import LmEval, LmEvalConfig
from harness.accuracy.lm_eval.tasks import choose_items, write_mirror
from harness.errors import CellError, ConfigError
from harness.paths import scenarios_dir

pytestmark = pytest.mark.slow

POCKET = scenarios_dir() / "pocket"
MMLU_SIZES = {"abstract_algebra": 100, "professional_law": 1534, "virology": 166, "astronomy": 152}


def write_mmlu(mirror: Path, subject: str, rows: list[list], dev: int = 5) -> None:
    for split, some in (("test", rows), ("dev", [["q", "w", "x", "y", "z", 1]] * dev)):
        (mirror / "mmlu" / split).mkdir(parents=True, exist_ok=True)
        with (mirror / "mmlu" / split / f"{subject}_{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["question", "choice0", "choice1", "choice2", "choice3", "answer"], *some])


def suite(**settings) -> LmEval:
    return LmEval("mmlu", LmEvalConfig(**{"task": "mmlu", "data": "mmlu", "fewshot": 5, **settings}))


def test_subset_is_the_same_for_every_variant_and_another_for_another_seed():
    chosen = choose_items(MMLU_SIZES, 100, "mmlu:0")
    assert chosen == choose_items(dict(reversed(MMLU_SIZES.items())), 100, "mmlu:0")
    assert chosen != choose_items(MMLU_SIZES, 100, "mmlu:1")
    code = "from harness.accuracy.lm_eval.tasks import choose_items as c; print(c({'a': 50, 'b': 70}, 9, 's'))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


@pytest.mark.parametrize("items", [1, 3, 57, 100, 1000, 1951])
def test_subset_is_exact_distinct_and_in_proportion(items):
    chosen = choose_items(MMLU_SIZES, items, "seed")
    assert sum(map(len, chosen.values())) == items
    total = sum(MMLU_SIZES.values())
    for name, size in MMLU_SIZES.items():
        indices = chosen.get(name, [])
        assert indices == sorted(set(indices)) and all(0 <= index < size for index in indices)
        assert abs(len(indices) - items * size / total) <= 1
    assert all(chosen.values()), "a task without items is left out: lm-eval would ask all of it"


def test_subset_gives_every_item_the_same_chance():
    sizes = {"a": 3, "b": 10}
    drawn = Counter(
        (name, index)
        for seed in range(3000)
        for name, indices in choose_items(sizes, 4, str(seed)).items()
        for index in indices
    )
    assert len(drawn) == 13 and all(abs(n / 3000 - 4 / 13) < 0.04 for n in drawn.values())


def test_no_number_or_more_than_all_means_all():
    everything = {"a": [0, 1, 2], "b": [0]}
    assert choose_items({"a": 3, "b": 1}, None, "s") == everything
    assert choose_items({"a": 3, "b": 1}, 99, "s") == everything


def test_mirrored_mmlu_keeps_the_built_in_task_and_swaps_only_the_data(tmp_path):
    question = 'Which, "of these",\nis it?'
    write_mmlu(tmp_path, "astronomy", [[question, "1,5", "two", "None", " four ", 2]])
    folder = builtin_folder("mmlu")
    names, out = write_mirror("mmlu", "mmlu", tmp_path / "mmlu", folder, tmp_path / "work")
    assert names == ["mmlu_astronomy"]
    task = yaml.safe_load((out / "mmlu_astronomy.yaml").read_text())
    assert task["include"] == str(folder / "mmlu_astronomy.yaml") and Path(task["include"]).is_absolute()
    assert (task["dataset_path"], task["dataset_name"]) == ("json", None)
    assert set(task) == {"include", "task", "dataset_path", "dataset_name", "dataset_kwargs"}
    (doc,) = [json.loads(line) for line in Path(task["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()]
    assert list(doc) == ["question", "subject", "choices", "answer"], "the hub's order: document hashes depend on it"
    assert doc == {
        "question": question,
        "subject": "astronomy",
        "choices": ["1,5", "two", "None", " four "],
        "answer": 2,
    }


@pytest.mark.parametrize("row", [["q", "a", "b", "c", "d", 4], ["q", "a", "b", "c", "d", "B"], ["q", "a", "b"]])
def test_a_broken_mirror_row_is_named(tmp_path, row):
    write_mmlu(tmp_path, "astronomy", [["q", "a", "b", "c", "d", 0], row])
    with pytest.raises(CellError, match=r"astronomy_test\.csv, line 3: "):
        folder = builtin_folder("mmlu")
        write_mirror("mmlu", "mmlu", tmp_path / "mmlu", folder, tmp_path / "work")


def test_a_task_name_means_all_subjects_a_category_or_one():
    folder = builtin_folder("mmlu")
    everything = subjects("mmlu", folder, POCKET / "mmlu")
    assert len(everything) == 10
    assert set(subjects("mmlu_stem", folder, POCKET / "mmlu")) < set(everything)
    assert list(subjects("mmlu_astronomy", folder, POCKET / "mmlu")) == ["astronomy"]


def test_preflight_finds_nothing_wrong_with_what_works(small_hub):
    for name in {data.hub for data in DATA.values()} | {"truthful_qa"}:
        small_hub.add("datasets", name)
    assert suite().problems("pocket") == []
    assert suite().problems(None) == []
    gsm8k = LmEval("gsm8k", LmEvalConfig(task="gsm8k", data="gsm8k", fewshot=8))
    assert gsm8k.problems("pocket") == []
    for task in ("arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande"):
        assert LmEval(task, LmEvalConfig(task=task, fewshot=0)).problems("pocket") == []


def test_preflight_names_what_is_wrong(tmp_path):
    assert "suite mmlu: lm-eval has no task 'mmlu_astronom'" in suite(task="mmlu_astronom").problems("pocket")[0]
    assert "did you mean 'mmlu_astronomy'" in suite(task="mmlu_astronom").problems("pocket")[0]
    (unknown,) = LmEval("x", LmEvalConfig(task="helaswag", fewshot=0)).problems(None)
    assert "did you mean" in unknown and "'hellaswag'" in unknown and len(unknown) < 200
    (missing,) = suite().problems(str(tmp_path))
    assert str(tmp_path / "mmlu") in missing and "data.root" in missing
    write_mmlu(tmp_path, "astronomy", [["q", "a", "b", "c", "d", 0]], dev=2)
    (few,) = suite().problems(str(tmp_path))
    assert "astronomy_dev.csv has 2 examples for 5 shots" in few
    (tmp_path / "mmlu/dev/astronomy_dev.csv").unlink()
    assert "astronomy_dev.csv is missing" in suite(fewshot=0).problems(str(tmp_path))[0]
    assert "has no subject of mmlu_anatomy" in suite(task="mmlu_anatomy").problems("pocket")[0]
    many = LmEval("gsm8k", LmEvalConfig(task="gsm8k", data="gsm8k", fewshot=9))
    assert "train.jsonl has 8 examples for 9 shots" in many.problems("pocket")[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"items": 0}, "suites.mmlu.items is 0; the lowest value is 1"),
        ({"fewshot": -1}, "suites.mmlu.fewshot is -1"),
        ({"max_tokens": 0}, "suites.mmlu.max_tokens is 0"),
        ({"data": "mmul"}, "did you mean 'mmlu'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        suite(**settings)


def test_configuration_is_typed():
    schema = OmegaConf.structured(LmEval.Config)
    chosen = OmegaConf.to_object(OmegaConf.merge(schema, {"task": "gsm8k", "fewshot": 5, "items": 70, "data": None}))
    assert chosen == LmEvalConfig(task="gsm8k", fewshot=5, items=70)
    for wrong in ({"fewshots": 5}, {"items": "many"}):
        with pytest.raises(OmegaConfBaseException):
            OmegaConf.merge(schema, wrong)


def test_fingerprint_changes_with_what_can_change_a_result(tmp_path):
    write_mmlu(tmp_path, "astronomy", [["q", "a", "b", "c", "d", 0]])
    before = suite().fingerprint(str(tmp_path))
    assert suite().fingerprint(str(tmp_path)) == before and json.dumps(before)
    assert suite(items=3).fingerprint(str(tmp_path)) != before
    assert suite().fingerprint("pocket") != before
    write_mmlu(tmp_path, "astronomy", [["q", "a", "b", "c", "d", 1]])
    assert suite().fingerprint(str(tmp_path)) != before


def test_planning_imports_nothing_heavy():
    code = (
        "import sys; from harness.accuracy.lm_eval.suite import LmEval, LmEvalConfig;"
        "s = LmEval('m', LmEvalConfig(task='mmlu', data='mmlu', fewshot=5, items=7));"
        "s.problems('pocket'), s.fingerprint('pocket'); assert s.planned_items() == 7;"
        "print([m for m in ('lm_eval', 'transformers', 'datasets', 'numpy') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
    assert suite_class("lm_eval") is LmEval and "lm_eval" in SUITES


def test_without_hub_and_cache_the_missing_data_set_is_named(no_hub):
    (free,) = LmEval("a", LmEvalConfig(task="arc_challenge", fewshot=25)).problems(None)
    assert free.startswith("suite a: data: dataset allenai/ai2_arc is not in the hub's cache")
    assert "HF_HUB_OFFLINE is set; unset it" in free and "data.root" not in free
    (mirrored,) = suite().problems(None)
    assert mirrored.startswith("suite mmlu: data: dataset cais/mmlu is not in the hub's cache")
    assert mirrored.endswith(", or set data.root to a mirror or to pocket")


def test_data_that_was_built_before_is_used_offline(no_hub, monkeypatch):
    """`datasets` takes what it has built last, and its folder is named after the commit."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(no_hub / "datasets"))
    for number, commit in enumerate(("1" * 40, "2" * 40)):
        built = no_hub / "datasets" / "allenai___ai2_arc" / "ARC-Challenge" / "0.0.0" / commit
        built.mkdir(parents=True)
        os.utime(built, (number, number))
    arc = LmEval("a", LmEvalConfig(task="arc_challenge", fewshot=25))
    assert arc.problems(None) == []
    assert arc.fingerprint(None)["data"] == {"source": "hub", "digest": "2" * 40}


def test_data_on_the_hub_is_known_by_its_commit(small_hub):
    small_hub.add("datasets", "openai/gsm8k", "1" * 40)
    gsm8k = LmEval("gsm8k", LmEvalConfig(task="gsm8k", data="gsm8k", fewshot=8))
    before = gsm8k.fingerprint(None)
    assert before["data"] == {"source": "hub", "digest": "1" * 40}
    small_hub.add("datasets", "openai/gsm8k", "2" * 40)
    assert gsm8k.fingerprint(None) == before, "within a process the plan stays as it was resolved"
    small_hub.forget()
    assert gsm8k.fingerprint(None)["data"]["digest"] == "2" * 40


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ("gsm8k", {"openai/gsm8k"}),
        ("mmlu", {"cais/mmlu"}),  # a group of groups
        ("mmlu_stem_tasks", {"cais/mmlu"}),  # a tag
        ("ai2_arc", {"allenai/ai2_arc"}),
        ("openllm", {"allenai/ai2_arc", "Rowan/hellaswag", "truthfulqa/truthful_qa", "cais/mmlu", "openai/gsm8k",
                     "allenai/winogrande"}),
    ],
)  # fmt: skip
def test_the_data_sets_of_any_task_group_or_tag_are_found(task, found):
    assert {name.lower() for name in repositories(task)} == {name.lower() for name in found}


def test_lm_eval_loads_its_data_at_the_commit(small_hub, monkeypatch):
    import datasets

    from harness.accuracy.datasets import pinned

    small_hub.add("datasets", "openai/gsm8k", "1" * 40)
    small_hub.add("datasets", "openai/gsm8k", "3" * 40, revision="v1")
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda path, *more, **how: asked.append((path, more, how)))
    before = datasets.load_dataset
    with pinned():
        datasets.load_dataset(path="openai/gsm8k", name="main")
        datasets.load_dataset("openai/gsm8k", "main", revision="v1")
        datasets.load_dataset("json", data_files={})
    assert [how.get("revision") for _, _, how in asked] == ["1" * 40, "3" * 40, None]
    assert datasets.load_dataset is before
