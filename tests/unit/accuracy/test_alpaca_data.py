import json

import pytest

from harness.accuracy.alpaca_eval.judge_prompts import Pair, shown, template
from harness.accuracy.alpaca_eval.references import load_references, references, standing
from harness.accuracy.alpaca_eval.suite import AlpacaEval, AlpacaEvalConfig
from harness.accuracy.datasets import Source
from harness.config.schema import Judge
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
    weak, strong = load_references(data, "weak"), load_references(data)
    assert [one.response for one in weak] == ["weak One?", "weak Two?", "weak Three?"]
    keys = [[(one.id, one.doc_hash) for one in answers] for answers in (weak, strong)]
    assert keys[0] == keys[1]


def test_an_unknown_reference_is_named(mirror):
    suite = AlpacaEval("a", AlpacaEvalConfig(reference="week"))
    (problem,) = suite.problems(str(mirror))
    assert "weak" in problem and "suite a" in problem
    with pytest.raises(CellError, match="weak"):
        suite.reference_answers(str(mirror))


def test_missing_data_is_named(tmp_path):
    (problem,) = AlpacaEval("a", AlpacaEvalConfig()).problems(str(tmp_path))
    assert "data.root" in problem


def test_a_reference_that_the_hub_does_not_have_is_named_before_the_run():
    found = AlpacaEval("a", AlpacaEvalConfig(reference="text_davinci_03")).problems(None)
    assert "text_davinci_003" in found[0] and "did you mean" in found[0]


@pytest.mark.parametrize("text", ["{", "[]", '[{"instruction": "q"}]', '{"a": 1}'])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "alpaca_eval").mkdir()
    (tmp_path / "alpaca_eval/broken.json").write_text(text)
    with pytest.raises(CellError, match=r"broken\.json"):
        AlpacaEval("a", AlpacaEvalConfig()).reference_answers(str(tmp_path))


def test_the_leaderboard_says_which_reference_is_the_stronger():
    assert standing("gpt4_1106_preview") > 90 and standing("text_davinci_003") == 50 and standing("nobody") is None


def test_strong_against_weak_where_both_are_published(tmp_path):
    folder = tmp_path / "alpaca_eval"
    folder.mkdir()
    for name in ("text_davinci_003", "gpt4_1106_preview"):
        items = [{"instruction": q, "output": f"{name} {q}", "generator": name} for q in ("One?", "Two?")]
        (folder / f"{name}.json").write_text(json.dumps(items))
    strong, weak, published = AlpacaEval("a", AlpacaEvalConfig()).calibration_answers(str(tmp_path))
    assert strong[0].response.startswith("gpt4") and weak[0].response.startswith("text_davinci")
    assert (published.strong, published.weak) == ("gpt4_1106_preview", "text_davinci_003")
    assert "leaderboard" in published.source


def test_references_of_unknown_standing_give_no_published_pairs(mirror):
    answers, weak, published = AlpacaEval("a", AlpacaEvalConfig()).calibration_answers(str(mirror))
    assert len(answers) == 3 and weak == [] and published is None


def test_what_the_judge_will_be_asked(mirror):
    suite = AlpacaEval("a", AlpacaEvalConfig(max_tokens=100))
    judge = Judge(model="j", prompt="few_shot")
    first, later = (suite.judge_calls(str(mirror), judge, calibrated) for calibrated in (False, True))
    assert later.calls == later.completion_tokens == 2 * 3
    assert first.calls == 2 * 3 + 2 * 3 * 3, "three kinds of known pairs: there is no weaker reference"
    assert 150 < later.prompt_tokens / later.calls < 600


def test_the_estimate_holds_for_what_is_asked_in_both_styles(mirror):
    """The estimate is from above, answers as long as they may be."""
    long = "A long answer of many words. " * 40
    suite = AlpacaEval("a", AlpacaEvalConfig(max_tokens=1000))
    for style in ("chat", "few_shot"):
        seen = shown(Pair("One?", long, long), style)
        places = {"{instruction}": "One?", "{output_1}": seen.first, "{output_2}": seen.second}
        text = template(style)
        for place, words in places.items():
            text = text.replace(place, words)
        asked = suite.judge_calls(str(mirror), Judge(prompt=style), True)
        assert len(text) / 4 <= asked.prompt_tokens / asked.calls + 12


def test_pocket_has_instructions_with_reference_answers():
    answers = AlpacaEval("a", AlpacaEvalConfig()).reference_answers("pocket")
    assert len(answers) >= 30 and all(one.response and one.generator for one in answers)
