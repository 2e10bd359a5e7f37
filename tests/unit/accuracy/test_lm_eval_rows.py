"""From lm-eval's logged samples and a server's replies to items, scores, counts and flags."""

import pytest

from harness.accuracy.items import mean_scores
from harness.accuracy.lm_eval.logged_samples import (
    check_against,
    counts_of,
    flags_of,
    items_of,
    primary_score,
    ties,
)
from harness.accuracy.lm_eval.logprobs import echo_body, echoed_score, next_token_body, next_token_scores
from harness.errors import CellError
from harness.records.accuracy_result import Counts, Score


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
    (item,) = items_of(samples, {"mmlu_astronomy": "astronomy"}, None)
    assert item.to_json() == {
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
    assert ties([item]) == 1


def test_long_choices_get_letters_and_unconditional_requests_are_no_choices():
    sample = choice_sample(0, [-9.0, -5.0], 0.0, choices=(" because it rains all day", " because it snows at night"))
    (item,) = items_of({"hellaswag": [sample]}, {}, None)
    assert (item.response, item.logprobs, item.group) == ("B", {"A": -9.0, "B": -5.0}, None)
    sample["arguments"] += [("", choice) for _, choice in sample["arguments"]]
    sample["resps"] += [[(-1.0, False)], [(-2.0, False)]]
    (item,) = items_of({"hellaswag": [sample]}, {}, None)
    assert item.logprobs == {"A": -9.0, "B": -5.0}


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
    items = items_of(samples, {}, lambda context, settings: answers[context])
    assert [item.id for item in items] == ["gsm8k/0", "gsm8k/1", "gsm8k/2"]
    assert items[1].scores == {"exact_match_strict": 0.0, "exact_match_flexible": 1.0}
    assert items[1].extracted == {"strict-match": "[invalid]", "flexible-extract": "18"}
    assert (items[1].response, items[1].finish_reason, items[1].completion_tokens) == ("18 and", "length", 256)
    scores = mean_scores(items)
    assert scores["exact_match_strict"] == Score(pytest.approx(1 / 3), 3)
    primary = primary_score(None, scores, 3)
    assert primary == "exact_match_flexible"
    counts = counts_of(items, primary)
    assert counts == Counts(items=3, truncated=1, empty=1, unparsed=1, errors=0)
    assert counts_of(items, "exact_match_strict").unparsed == 2
    flags = {flag.code: flag for flag in flags_of(counts, 1319, 0, 2048)}
    assert {code: flag.level for code, flag in flags.items()} == {
        "truncated": "caution",
        "unparsed": "caution",
        "partial": "note",
    }
    assert flags["partial"].message == "3 of 1319 items, a seeded random subset"


def test_few_truncations_are_counted_but_not_flagged():
    counts = Counts(items=100, truncated=10, unparsed=10)
    assert flags_of(counts, 100, 0, None) == []
    (flag,) = flags_of(counts, 100, 4, 2048)
    assert (flag.code, flag.level) == ("prompt_cut", "caution") and "4 prompts" in flag.message


def test_values_that_are_no_scores_are_left_out():
    sample = choice_sample(0, [-1.0, -2.0, -3.0, -4.0], 1.0) | {"metrics": ["acc", "f1", "perplexity"]}
    sample |= {"f1": (0, 1), "perplexity": -7.0}
    (item,) = items_of({"t": [sample]}, {}, None)
    assert item.scores == {"acc": 1.0}


def test_primary_score_must_exist_for_every_item():
    scores = {"acc": Score(0.5, 10), "acc_norm": Score(0.4, 10), "odd": Score(1.0, 3)}
    assert primary_score(None, scores, 10) == "acc"
    assert primary_score("acc_norm", scores, 10) == "acc_norm"
    with pytest.raises(CellError, match="did you mean 'acc_norm'"):
        primary_score("acc_nrm", scores, 10)
    with pytest.raises(CellError, match="no score 'odd' for each item"):
        primary_score("odd", scores, 10)
    with pytest.raises(CellError, match="no score between 0 and 1"):
        primary_score(None, {}, 10)


def test_a_mean_that_differs_from_lm_evals_is_an_error():
    items = items_of({"t": [choice_sample(n, [-1.0, -2.0, -3.0, -4.0], n % 2) for n in range(4)]}, {}, None)
    reported = {"t": {"alias": "t", "acc,none": 0.5, "acc_stderr,none": "N/A"}}
    check_against(items, reported, {("t", "acc")})
    with pytest.raises(CellError, match=r"lm-eval reports acc,none = 0\.75, the items say 0\.5"):
        check_against(items, {"t": {"acc,none": 0.75}}, {("t", "acc")})


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
