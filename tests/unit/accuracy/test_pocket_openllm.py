"""The pocket items of the Open LLM Leaderboard's suites: what lm-eval's own task code makes of them."""

import json
from collections import Counter

import pytest

from harness.accuracy.datasets import source
from harness.accuracy.lm_eval.mirrors import DATA
from harness.accuracy.lm_eval.suite import LmEval, LmEvalConfig
from harness.accuracy.lm_eval.tasks import load_tasks
from harness.engines.dialect import NEXT_TOKEN_LOGPROBS, PROMPT_LOGPROBS
from harness.paths import scenarios_dir

pytestmark = pytest.mark.slow

SHOTS = {"arc_challenge": 25, "hellaswag": 10, "winogrande": 5, "truthfulqa_mc2": 0}  # the leaderboard's


def rows(name: str, split: str) -> list[dict]:
    text = (scenarios_dir() / "pocket" / name / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def splits(name: str) -> list[str]:
    data = DATA[name]
    return [split for split in (data.shots, data.asked) if split]


@pytest.mark.parametrize("name", SHOTS)
def test_preflight_takes_the_leaderboards_shots(name):
    assert LmEval(name, LmEvalConfig(task=name, data=name, fewshot=SHOTS[name])).problems("pocket") == []


@pytest.mark.parametrize("name", SHOTS)
def test_lm_eval_reads_every_item(name, tmp_path):
    where = source("pocket", name, DATA[name].hub)
    _, tasks = load_tasks(name, name, where, tmp_path)
    (task,) = tasks.values()
    assert len(task.eval_docs) == len(rows(name, splits(name)[-1])) >= 12
    for doc in task.eval_docs:
        choices, target = task.doc_to_choice(doc), task.doc_to_target(doc)
        assert len(set(choices)) == len(choices) > 1 and all(choice.strip() for choice in choices)
        if name != "winogrande":  # its target is how the sentence goes on
            assert 0 <= target < len(choices)
        context = task.fewshot_context(doc, SHOTS[name])
        assert all(text.count("\n\n") >= SHOTS[name] for text in ([context] if isinstance(context, str) else context))


@pytest.mark.parametrize("name", SHOTS)
def test_no_question_is_also_an_example(name):
    key = {"arc_challenge": "question", "hellaswag": "ctx", "winogrande": "sentence", "truthfulqa_mc2": "question"}[
        name
    ]
    seen = Counter(row[key] for split in splits(name) for row in rows(name, split))
    assert max(seen.values()) == 1


def test_answers_are_spread_over_the_places():
    places = {
        "arc_challenge": lambda row: row["answerKey"],
        "hellaswag": lambda row: row["label"],
        "winogrande": lambda row: row["answer"],
    }
    for name, place in places.items():
        for split in splits(name):
            counts = Counter(map(place, rows(name, split)))
            assert max(counts.values()) - min(counts.values()) <= 1 and len(counts) == (
                2 if name == "winogrande" else 4
            )
    for row in rows("truthfulqa_mc2", "validation"):
        assert row["mc1_targets"]["labels"].count(1) == 1 and set(row["mc2_targets"]["labels"]) == {0, 1}


def test_winogrande_comes_in_twins():
    """Two sentences of one pair of names, each with another answer: a model that likes one name gets half of them."""
    for split in splits("winogrande"):
        pairs = Counter((row["option1"], row["option2"]) for row in rows("winogrande", split))
        answers = Counter((row["option1"], row["answer"]) for row in rows("winogrande", split))
        assert set(pairs.values()) == {2} and set(answers.values()) == {1}


@pytest.fixture
def mirror(tmp_path):
    (tmp_path / "hellaswag").mkdir()
    for split, some in (("train", rows("hellaswag", "train")), ("validation", rows("hellaswag", "validation"))):
        (tmp_path / "hellaswag" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return tmp_path


def hellaswag(fewshot: int, root) -> list[str]:
    return LmEval("hellaswag", LmEvalConfig(task="hellaswag", data="hellaswag", fewshot=fewshot)).problems(str(root))


def test_a_mirror_is_read_like_the_pocket_suite(mirror):
    assert hellaswag(11, mirror) == []
    (few,) = hellaswag(12, mirror)
    assert "train.jsonl has 12 examples for 12 shots (lm-eval draws 13); lower fewshot" in few


def test_a_broken_row_of_a_mirror_is_named(mirror):
    path = mirror / "hellaswag" / "validation.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace('"endings"', '"ends"'), *lines[2:]]))
    (problem,) = hellaswag(10, mirror)
    assert "validation.jsonl, line 2: no endings; a row has activity_label, ctx_a" in problem
    path.write_text(lines[0] + "\nendings\n")
    (problem,) = hellaswag(10, mirror)
    assert "validation.jsonl, line 2: not a JSON object" in problem
    path.unlink()
    (problem,) = hellaswag(10, mirror)
    assert "has no validation.jsonl" in problem and "data.root" in problem


@pytest.mark.parametrize(
    ("task", "asked"),
    [*((task, {PROMPT_LOGPROBS}) for task in SHOTS), ("mmlu", {NEXT_TOKEN_LOGPROBS}), ("gsm8k", set())],
)
def test_what_each_suite_asks_of_an_engine(task, asked):
    """Preflight refuses a suite of an engine that cannot answer it: choices of several tokens must be read back."""
    assert LmEval(task, LmEvalConfig(task=task, data=task, fewshot=0)).asks() == asked
