"""From lm-eval's logged samples and a server's replies to rows, scores, counts and flags."""

import pytest

from harness.accuracy.lm_eval import item_rows as rows_of
from harness.accuracy.lm_eval.logprobs import echo_body, echoed_score, next_token_body, next_token_scores
from harness.errors import CellError


class Answer:
    def __init__(self, text, finish_reason="stop", completion_tokens=9):
        self.text, self.finish_reason, self.completion_tokens = text, finish_reason, completion_tokens


def logged(doc_id, **more):
    return {"doc_id": doc_id, "doc_hash": f"d{doc_id}", "prompt_hash": f"p{doc_id}", "filter": "none"} | more


def choice_sample(doc_id, logprobs, acc, choices=(" A", " B", " C", " D")):
    return logged(
        doc_id,
        arguments=[("context", choice) for choice in choices],
        resps=[[(logprob, False)] for logprob in logprobs],
        filtered_resps=[(logprob, False) for logprob in logprobs],
        metrics=["acc"],
        acc=acc,
    )


def generation_samples(doc_id, context, strict, flexible):
    def one(name, extracted, right):
        asked = {"arguments": [(context, {"until": ["\n"]})], "resps": [["text"]], "filtered_resps": [extracted]}
        return logged(doc_id, **asked, metrics=["exact_match"], exact_match=right) | {"filter": name}

    return [one("strict-match", *strict), one("flexible-extract", *flexible)]


def test_multiple_choice_row():
    samples = {"mmlu_astronomy": [choice_sample(12, [-2.0, -0.5, -0.5, -3.0], 1.0)]}
    (row,) = rows_of.item_rows(samples, {"mmlu_astronomy": "astronomy"}, None)
    assert row == {
        "id": "mmlu_astronomy/12",
        "group": "astronomy",
        "doc_hash": "d12",
        "prompt_hash": "p12",
        "scores": {"acc": 1.0},
        "response": "B",
        "logprobs": {"A": -2.0, "B": -0.5, "C": -0.5, "D": -3.0},
        "finish_reason": None,
        "completion_tokens": None,
    }
    assert rows_of.ties([row]) == 1


def test_long_choices_get_letters_and_unconditional_requests_are_no_choices():
    sample = choice_sample(0, [-9.0, -5.0], 0.0, choices=(" because it rains all day", " because it snows at night"))
    (row,) = rows_of.item_rows({"hellaswag": [sample]}, {}, None)
    assert (row["response"], row["logprobs"], row["group"]) == ("B", {"A": -9.0, "B": -5.0}, None)
    sample["arguments"] += [("", choice) for _, choice in sample["arguments"]]
    sample["resps"] += [[(-1.0, False)], [(-2.0, False)]]
    (row,) = rows_of.item_rows({"hellaswag": [sample]}, {}, None)
    assert row["logprobs"] == {"A": -9.0, "B": -5.0}


def test_generation_row_joins_the_filters_and_counts_what_went_wrong():
    answers = {"c0": Answer("so #### 18"), "c1": Answer("18 and", "length", 256), "c2": Answer("  ", "stop", 1)}
    samples = {
        "gsm8k": [
            sample
            for n, (strict, flexible) in enumerate(
                [(("18", 1), ("18", 1)), (("[invalid]", 0), ("18", 1)), (("[invalid]", 0), ("[invalid]", 0))]
            )
            for sample in generation_samples(n, f"c{n}", strict, flexible)
        ]
    }
    rows = rows_of.item_rows(samples, {}, lambda context, settings: answers[context])
    assert [row["id"] for row in rows] == ["gsm8k/0", "gsm8k/1", "gsm8k/2"]
    assert rows[1]["scores"] == {"exact_match_strict": 0.0, "exact_match_flexible": 1.0}
    assert rows[1]["extracted"] == {"strict-match": "[invalid]", "flexible-extract": "18"}
    assert (rows[1]["response"], rows[1]["finish_reason"], rows[1]["completion_tokens"]) == ("18 and", "length", 256)
    scores = rows_of.scores_of(rows)
    assert scores["exact_match_strict"] == {"value": pytest.approx(1 / 3), "n": 3}
    primary = rows_of.primary_score(None, scores, 3)
    assert primary == "exact_match_flexible"
    counts = rows_of.counts_of(rows, primary)
    assert counts == {"items": 3, "truncated": 1, "empty": 1, "unparsed": 1, "errors": 0}
    assert rows_of.counts_of(rows, "exact_match_strict")["unparsed"] == 2
    flags = {flag.code: flag for flag in rows_of.flags_of(counts, 1319, 0, 2048)}
    assert {code: flag.level for code, flag in flags.items()} == {
        "truncated": "caution",
        "unparsed": "caution",
        "partial": "note",
    }
    assert flags["partial"].message == "3 of 1319 items, a seeded random subset"


def test_few_truncations_are_counted_but_not_flagged():
    counts = {"items": 100, "truncated": 10, "unparsed": 10, "empty": 0, "errors": 0}
    assert rows_of.flags_of(counts, 100, 0, None) == []
    (flag,) = rows_of.flags_of(counts, 100, 4, 2048)
    assert (flag.code, flag.level) == ("prompt_cut", "caution") and "4 prompts" in flag.message


def test_values_that_are_no_scores_are_left_out():
    sample = choice_sample(0, [-1.0, -2.0, -3.0, -4.0], 1.0) | {"metrics": ["acc", "f1", "perplexity"]}
    sample |= {"f1": (0, 1), "perplexity": -7.0}
    (row,) = rows_of.item_rows({"t": [sample]}, {}, None)
    assert row["scores"] == {"acc": 1.0}


def test_primary_score_must_exist_for_every_item():
    scores = {"acc": {"value": 0.5, "n": 10}, "acc_norm": {"value": 0.4, "n": 10}, "odd": {"value": 1.0, "n": 3}}
    assert rows_of.primary_score(None, scores, 10) == "acc"
    assert rows_of.primary_score("acc_norm", scores, 10) == "acc_norm"
    with pytest.raises(CellError, match="did you mean 'acc_norm'"):
        rows_of.primary_score("acc_nrm", scores, 10)
    with pytest.raises(CellError, match="no score 'odd' for each item"):
        rows_of.primary_score("odd", scores, 10)
    with pytest.raises(CellError, match="no score between 0 and 1"):
        rows_of.primary_score(None, {}, 10)


def test_a_mean_that_differs_from_lm_evals_is_an_error():
    rows = rows_of.item_rows({"t": [choice_sample(n, [-1.0, -2.0, -3.0, -4.0], n % 2) for n in range(4)]}, {}, None)
    reported = {"t": {"alias": "t", "acc,none": 0.5, "acc_stderr,none": "N/A"}}
    rows_of.check_against(rows, reported, {("t", "acc")})
    with pytest.raises(CellError, match=r"lm-eval reports acc,none = 0\.75, the items say 0\.5"):
        rows_of.check_against(rows, {"t": {"acc,none": 0.75}}, {("t", "acc")})


def test_next_token_scores_are_read_by_id():
    top = {"token_id:5": -0.1, "token_id:330": -3.0, "token_id:389": -2.5}
    reply = {"choices": [{"logprobs": {"top_logprobs": [top]}}]}
    assert next_token_scores(reply, [330, 389, 5]) == [(-3.0, False), (-2.5, False), (-0.1, True)]
    body = next_token_body([1, 2], [330, 389, 330])
    assert body["prompt"] == [1, 2] and body["logprob_token_ids"] == [330, 389] and body["max_tokens"] == 1


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": [{"logprobs": {"top_logprobs": [{"token_id:5": -0.1}]}}]},  # knows the format, not the choices
        {"choices": [{"logprobs": {"top_logprobs": [{" A": -0.1, " B": -2.0}]}}]},
        {"choices": [{"logprobs": {"content": [{"token": " A", "logprob": -0.1}]}}]},  # llama.cpp
        {"choices": [{"logprobs": None, "text": " A"}]},
        {"choices": []},
    ],
)
def test_a_reply_without_the_choices_is_not_guessed_at(reply):
    assert next_token_scores(reply, [330, 389]) is None


def test_echo_is_summed_over_the_continuation_only():
    own = [None, -1.0, -2.0, -0.5, -4.0]
    top = [None, {"a": -1.0}, {"b": -0.3, "c": -2.0}, {"d": -0.5}, {"e": -4.0}]
    reply = {"choices": [{"logprobs": {"token_logprobs": own, "top_logprobs": top}}]}
    assert echoed_score(reply, 2, 2) == (-2.5, False)
    assert echoed_score(reply, 3, 1) == (-0.5, True)
    assert echo_body([1, 2], [3, 4])["prompt"] == [1, 2, 3, 4]


def test_a_server_without_any_log_probabilities_is_named_as_such():
    short = {"token_logprobs": [-0.1], "top_logprobs": [{"x": -0.1}]}  # echo ignored: only the generated token
    for logprobs in (None, short):
        with pytest.raises(CellError, match="cannot answer multiple choice"):
            echoed_score({"choices": [{"logprobs": logprobs}]}, 2, 2)
