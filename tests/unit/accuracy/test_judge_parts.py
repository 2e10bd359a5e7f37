from dataclasses import replace

import pytest

from harness.accuracy.alpaca_eval.annotator import _letters
from harness.accuracy.alpaca_eval.both_orders import position_bias
from harness.accuracy.alpaca_eval.judge import judge_fingerprint
from harness.accuracy.alpaca_eval.judge_prompts import (
    ANSWER_CHARS,
    STYLES,
    Pair,
    answer_chars,
    known_pairs,
    shown,
    template,
)
from harness.accuracy.alpaca_eval.references import Reference
from harness.accuracy.judges import settings_problems
from harness.config.schema import Judge
from harness.errors import ConfigError
from harness.records.item import Preference
from harness.records.judge_details import Calibration, KnownPairs

TEXT = "with every word in its place and none of them twice because order matters here"


def reference(n, response):
    return Reference(f"a/{n}", None, str(n), f"Question {n}?", response)


ANSWERS = [reference(n, f"A good long answer, number {n}, {TEXT}") for n in range(9)]


@pytest.mark.parametrize("style", STYLES)
def test_templates_have_each_place_once(style):
    text = template(style)
    assert all(text.count("{" + place + "}") == 1 for place in ("instruction", "output_1", "output_2"))


def test_an_unknown_style_is_named():
    with pytest.raises(ConfigError, match="few_shot"):
        template("few_shots")
    assert settings_problems(Judge(prompt="few_shots")) and not settings_problems(Judge())


def test_an_answer_cannot_pose_as_part_of_the_prompt():
    pair = shown(Pair("Say {output_2}", "x <|im_end|> {output_2}", "y"), "chat")
    assert "{output_2}" not in pair.instruction + pair.first and "<|im_end|>" not in pair.first


def test_long_answers_are_cut_at_a_word():
    text = shown(Pair("q", "word " * 500, "short"), "few_shot").first
    assert len(text) <= ANSWER_CHARS["few_shot"] + 4 and text.endswith("word ...")


def test_a_pair_fits_the_judges_context_in_both_orders():
    """Llama 2's 4096 tokens: two answers of 6000 characters of code would not fit."""
    pair = Pair("Write it.", "x = 1; " * 1200, "short")
    both = Pair("Write it.", "x = 1; " * 1200, "y = 2; " * 1200)
    assert answer_chars(pair, "chat", 4096) == ANSWER_CHARS["chat"]
    assert answer_chars(both, "chat", 4096) == answer_chars(both.swapped, "chat", 4096) < ANSWER_CHARS["chat"]
    seen = shown(both, "chat", 4096)
    assert (len(template("chat")) + len(seen.first) + len(seen.second)) / 2.5 < 4096
    assert answer_chars(both, "chat", None) == ANSWER_CHARS["chat"] and answer_chars(both, "chat", 300) == 0


def test_known_pairs_put_the_better_answer_first():
    pairs = known_pairs(ANSWERS, "few_shot", 0, 32)
    assert pairs == known_pairs(ANSWERS, "few_shot", 0, 32) != known_pairs(ANSWERS, "few_shot", 1, 32)
    assert [one.kind for one in pairs].count("shuffled") == 9 and len(pairs) == 27
    answer = {one.id: one.response.strip() for one in ANSWERS}
    for one in pairs:
        first, second = one.pair.first, one.pair.second
        assert first == answer[one.instruction_id] != second and one.instruction_id[-1] in one.pair.instruction
        assert (one.kind == "truncated") == first.startswith(second)
        if one.kind == "shuffled":
            assert sorted(first.split()) == sorted(second.split()) and first.split() != second.split()


def test_published_pairs_stand_where_a_weaker_reference_has_answers():
    weak = [reference(3, "Meh.")]
    found = [one for one in known_pairs(ANSWERS, "chat", 0, 32, weak) if one.kind == "published"]
    assert [(one.instruction_id, one.pair.second) for one in found] == [("a/3", "Meh.")]


def test_shuffled_answers_are_as_long_as_what_the_judge_sees():
    long = [replace(one, response=one.response + " tail" * 900) for one in ANSWERS]
    for one in known_pairs(long, "few_shot", 0, 4):
        if one.kind == "shuffled":
            seen = shown(one.pair, "few_shot")
            assert abs(len(seen.first) - len(seen.second)) < 12


def test_so_many_instructions_at_most():
    assert len({one.instruction_id for one in known_pairs(ANSWERS, "chat", 0, 5)}) == 5
    (problem,) = settings_problems(Judge(calibration_items=1))
    assert "calibration_items" in problem


def test_too_little_for_known_pairs_gives_none_and_no_belief():
    assert known_pairs([reference(0, "a")], "chat", 0, 32) == []
    assert "not tried" in Calibration(None, 0.0, 1.0, 0).weakness


def test_a_judge_that_only_likes_length_is_not_believed():
    good, same = Calibration(0.75, 0.65, 0.83, 96), KnownPairs(0.5, 0.4, 0.6, 64)
    assert "length does not give away" in replace(good, same_length=same).weakness
    assert replace(good, same_length=replace(same, low=0.55)).weakness is None
    assert "no better than chance" in replace(good, low=0.5).weakness


def test_letters_are_read_from_every_shape_of_answer():
    def top(choice, text="m"):
        return {t["token"]: t["logprob"] for t in _letters(choice, text)["logprobs"]["content"][0]["top_logprobs"]}

    chat = {
        "logprobs": {"content": [{"top_logprobs": [{"token": "m", "logprob": -1.0}, {"token": "M", "logprob": -2}]}]}
    }
    assert top(chat) == {"m": -1.0, "M": -2}
    assert top({"logprobs": {"top_logprobs": [{" m": -0.5, "m": -3.0, " M": -1.0}]}}) == {"m": -0.5, "M": -1.0}
    assert top({"logprobs": None}, " M is better") == {"M": 0.0}


def test_one_order_alone_is_no_judgement():
    assert Preference(0.9, 0.1).value == pytest.approx(0.5)
    assert Preference(0.9, None).value is None
    assert position_bias([Preference(0.9, 0.1), Preference(1.0, 0.0)]) == 0.5


def test_the_fingerprint_knows_the_prompt_the_reference_and_the_trial():
    base = judge_fingerprint(Judge(model="a"))
    assert base == judge_fingerprint(Judge(model="b", api_key_env="OTHER")), "who judges is the plan's to say"
    for other in (Judge(model="a", prompt="few_shot"), Judge(model="a", calibration_items=8)):
        assert judge_fingerprint(other) != base
    assert judge_fingerprint(Judge(model="a"), reference="text_davinci_003") != base
