import json

import pytest

from harness.accuracy.alpaca_eval import AlpacaEval, AlpacaEvalConfig, load_instructions, references
from harness.accuracy.datasets import Source
from harness.errors import CellError


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "alpaca_eval"
    folder.mkdir()
    questions = ["One?", "Two?", "Three?"]
    for name, order in (("strong", questions), ("weak", questions[::-1])):
        items = [
            {"dataset": "d", "instruction": q, "output": f"{name} {q}", "generator": f"{name}_model"} for q in order
        ]
        (folder / f"{name}.json").write_text(json.dumps(items))
    return tmp_path


def test_references_are_matched_by_instruction_whatever_their_order(mirror):
    data = Source("mirror", "m", mirror / "alpaca_eval")
    assert references(data) == ["strong", "strong_model", "weak", "weak_model"]
    weak, strong = load_instructions(data, "weak"), load_instructions(data)
    assert [row["response"] for row in weak] == ["weak One?", "weak Two?", "weak Three?"]
    keys = [[(row["id"], row["doc_hash"]) for row in rows] for rows in (weak, strong)]
    assert keys[0] == keys[1]


def test_an_unknown_reference_is_named(mirror):
    suite = AlpacaEval("a", AlpacaEvalConfig(reference="week"))
    (problem,) = suite.problems(str(mirror))
    assert "weak" in problem and "suite a" in problem
    with pytest.raises(CellError, match="weak"):
        suite.reference_rows(str(mirror))


def test_missing_data_is_named(tmp_path):
    (problem,) = AlpacaEval("a", AlpacaEvalConfig()).problems(str(tmp_path))
    assert "data.root" in problem


def test_pocket_has_instructions_with_reference_answers():
    rows = AlpacaEval("a", AlpacaEvalConfig()).reference_rows("pocket")
    assert len(rows) >= 30 and all(row["response"] and row["generator"] for row in rows)
