"""Rows of accuracy and judge cells: the same keys in the same order as stores of earlier versions have them."""

import pytest

from harness.records.accuracy_result import AccuracyResult, Counts, DataRef, Score
from harness.records.item import Answer, Item, Preference, TextWindow

IDENTITY = {"id": "s/1", "doc_hash": "d", "prompt_hash": "p"}
ANSWER = {"response": "so 18", "finish_reason": "stop", "completion_tokens": 3}
CODE = {"solution": "pass", "parsed": True, "status": "pass"}
SAMPLES = (Answer(**ANSWER, **CODE), Answer(response="", finish_reason="length", completion_tokens=9, parsed=False))
HEAD = ["id", "group", "doc_hash", "prompt_hash", "scores", "response"]
TAIL = ["finish_reason", "completion_tokens"]
ITEMS = {
    "multiple choice": (
        Item(**IDENTITY, group="astronomy", scores={"acc": 1.0}, response="B", logprobs={"A": -2.0, "B": -0.5}),
        [*HEAD, "logprobs", *TAIL],
    ),
    "generated": (
        Item(**IDENTITY, scores={"exact_match_strict": 0.0}, **ANSWER, extracted={"strict-match": "[invalid]"}),
        [*HEAD, *TAIL, "extracted"],
    ),
    "reasoning": (
        Item(**IDENTITY, scores={}, **ANSWER, extracted={}, reasoning="open"),
        [*HEAD, *TAIL, "extracted", "reasoning"],
    ),
    "code": (
        Item(**IDENTITY, scores={"pass@1": 1.0}, **ANSWER, **CODE),
        [*HEAD, *TAIL, "solution", "parsed", "status"],
    ),
    "several samples": (
        Item(**IDENTITY, scores={"pass@1": 0.5}, **ANSWER, **CODE, samples=SAMPLES),
        [*HEAD, *TAIL, "solution", "parsed", "status", "samples"],
    ),
    "to be judged": (
        Item(**IDENTITY, group="helpful_base", instruction="Say it.", **ANSWER),
        ["id", "group", "doc_hash", "instruction", "prompt_hash", "scores", "response", *TAIL],
    ),
    "judged": (
        Item(
            **IDENTITY, instruction="Say it.", **ANSWER, reasoning="closed", scores={"win_rate": 0.6},
            reference="17", preference=Preference(0.7, 0.5),
        ),
        [
            *("id", "group", "doc_hash", "prompt_hash", "instruction", "response", *TAIL, "reasoning"),
            *("scores", "reference", "preference"),
        ],
    ),
    "unreadable": (Item(**IDENTITY, scores={"acc": 0.0}, finish_reason="unreadable"), [*HEAD, *TAIL]),
}  # fmt: skip


@pytest.mark.parametrize(("item", "keys"), ITEMS.values(), ids=ITEMS)
def test_an_item_is_written_in_the_order_of_its_kind_and_read_back(item, keys):
    row = item.to_json()
    assert list(row) == keys
    assert Item.from_json(row) == item and Item.from_json(row).key == ("s/1", "d", "p")


def test_a_row_of_another_version_is_read_as_far_as_it_is_known():
    row = {"id": 7, "scores": None, "response": None, "finish_reason": None, "later": [1]}
    assert Item.from_json(row) == Item(id=7)


def test_one_order_alone_is_no_preference():
    assert Preference(0.9, 0.1).value == pytest.approx(0.5)
    assert Preference(0.9, None).value is None and Preference(None, 0.9).value is None


def test_a_window_is_written_in_its_order_and_read_back():
    arrays = {"token_ids": "AA==", "token_logprobs": "AA==", "top_ids": "", "top_logprobs": ""}
    window = TextWindow(**IDENTITY, tokens=1, logprob_sum=-2.5, top_k=0, **arrays)
    row = window.to_json()
    numbers = ["tokens", "logprob_sum", "top_k", *arrays]
    assert list(row) == ["id", "group", "doc_hash", "prompt_hash", "scores", *numbers]
    assert (row["group"], row["scores"]) == (None, {}) and TextWindow.from_json(row) == window


def test_counts_that_a_suite_does_not_have_are_left_out():
    assert list(Counts(items=2).to_json()) == ["items", "truncated", "empty", "unparsed", "errors"]
    assert list(Counts(items=2, answers=4).to_json())[:3] == ["items", "answers", "truncated"]
    assert list(Counts(items=2, equal=0, cut_for_judge=1).to_json())[-3:] == ["errors", "equal", "cut_for_judge"]


def test_a_result_is_written_in_its_order():
    data = DataRef("pocket", "pocket gsm8k", "d", 71)
    result = AccuracyResult(primary="acc", scores={"acc": Score(0.5, 2)}, counts=Counts(items=2), data=data)
    assert result.to_json() == {
        "primary": "acc",
        "scores": {"acc": {"value": 0.5, "n": 2}},
        "counts": {"items": 2, "truncated": 0, "empty": 0, "unparsed": 0, "errors": 0},
        "data": {"source": "pocket", "name": "pocket gsm8k", "digest": "d", "population": 71},
        "details": {},
    }
    assert list(result.to_json()) == ["primary", "scores", "counts", "data", "details"]
    assert DataRef.from_json(data.to_json()) == data
