"""Generated answers through lm-eval: their scores, extraction, stop strings and counts."""

import pytest

from harness.errors import CellError
from tests.integration.accuracy.small_lm_server import GSM8K, answer_to, stock


def test_gsm8k_scores_and_counts_are_those_of_the_answers(small_server, ask, tmp_path):
    outcome = ask("gsm8k", "gsm8k", items=40, max_tokens=99)
    kinds = {}
    for row in outcome.rows:
        question = GSM8K[int(row["id"].split("/")[1])]["question"]
        text, kind = answer_to(f"Question: {question}\nAnswer:")
        kinds[row["id"]] = kind
        assert row["response"] == text.split("Question:")[0]
        assert row["finish_reason"] == ("length" if kind == "endless" else "stop") and row["completion_tokens"] == 7
        assert row["scores"] == {
            "exact_match_strict": float(kind == "right"),
            "exact_match_flexible": float(kind in ("right", "not_strict")),
        }
    of = list(kinds.values()).count
    assert outcome.result.primary == "exact_match_flexible"
    counts = {"items": 40, "truncated": of("endless"), "empty": 0, "unparsed": of("no_number"), "errors": 0}
    assert outcome.result.to_json()["counts"] == counts
    assert outcome.result.to_json()["scores"]["exact_match_strict"] == {"value": of("right") / 40, "n": 40}
    assert {flag.code for flag in outcome.flags} == {"truncated", "unparsed", "partial"}
    for body in small_server.bodies:
        assert (body["max_tokens"], body["temperature"]) == (99, 0)
        assert body["stop"] == ["Question:", "</s>", "<|im_end|>"]
    theirs = stock(small_server, "gsm8k", 40, tmp_path)
    for row in outcome.rows:
        for name, extracted in row["extracted"].items():
            assert extracted == theirs[row["id"], name]["filtered_resps"][0]
            assert row["prompt_hash"] == theirs[row["id"], name]["prompt_hash"]


def test_answers_are_cut_at_stop_strings_that_the_server_left(small_server, ask):
    cut_by_server = ask("gsm8k", "gsm8k", items=10)
    small_server.knows.discard("stop")
    cut_here = ask("gsm8k", "gsm8k", items=10)
    assert cut_here.rows == cut_by_server.rows


def test_a_wrong_metric_is_refused_before_anything_is_asked(small_server, ask):
    with pytest.raises(CellError, match=r"suites\.gsm8k\.metric: .* no score 'exact_match_flex'; did you mean"):
        ask("gsm8k", "gsm8k", items=3, metric="exact_match_flex")
    assert small_server.bodies == []
    assert ask("gsm8k", "gsm8k", items=3, metric="exact_match_strict").result.primary == "exact_match_strict"
