"""Answers with values of other types than the protocol says: refused with words, never a crash."""

import json
import math

import pytest

from harness.accuracy.alpaca_eval.annotator import _letters
from harness.accuracy.completions import UNREADABLE, check, completion, problem_of, unreadable
from harness.accuracy.generation import retry_after_s
from harness.accuracy.lm_eval.logprobs import echoed_score, next_token_scores
from harness.accuracy.reasoning import answer_flags
from harness.accuracy.text_windows import AskedWindow, scored_window
from harness.errors import CellError
from harness.protocol.replies import BadReply, parse_json, shown
from harness.records.item import Answer

WINDOW = AskedWindow("p/0", "d", [1, 2])


def answer(choice=None, **more):
    return {"choices": [{"text": "a", "finish_reason": "stop", **(choice or {})}], **more}


def with_logprobs(logprobs):
    return answer({"logprobs": logprobs})


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": 5},
        {"choices": {"0": {"text": "a"}}},
        {"choices": "a"},
        {"choices": [["a"]]},
        {"choices": [None]},
        {"choices": [{"message": "hi"}]},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"content": [5]}}]},
        {"choices": [{"message": {"content": [{"text": {}}]}}]},
        answer({"text": ["a"]}),
        answer({"finish_reason": ["stop"]}),
        with_logprobs([]),
        with_logprobs("none"),
        with_logprobs({"content": {"token": "m"}}),
        with_logprobs({"content": [None]}),
        with_logprobs({"content": [{"token": 5, "logprob": -1.0}]}),
        with_logprobs({"content": [{"token": "m", "top_logprobs": {"m": -1.0}}]}),
        with_logprobs({"content": [{"token": "m", "top_logprobs": [["m", -1.0]]}]}),
        with_logprobs({"content": [{"token": "m", "logprob": 0.7}]}),
        with_logprobs({"content": [{"token": "m", "logprob": "-1"}]}),
        with_logprobs({"top_logprobs": [{"m": math.nan}]}),
        with_logprobs({"top_logprobs": [{"m": math.inf}]}),
        with_logprobs({"top_logprobs": [["m"]]}),
        with_logprobs({"token_logprobs": [None, 3.0]}),
        with_logprobs({"token_logprobs": 7}),
        with_logprobs({"tokens": [1, 2]}),
    ],
)
def test_what_is_no_answer_is_refused_with_words(reply):
    with pytest.raises(BadReply) as refused:
        check(reply)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "reply",
    [
        answer(),
        answer(usage={"completion_tokens": "16"}),
        answer(usage=[16]),
        answer({"finish_reason": {"type": "stop"}}),
        with_logprobs(None),
        with_logprobs(
            {"content": [{"token": "m", "logprob": -0.1, "top_logprobs": [{"token": "m", "logprob": 1e-7}]}]}
        ),
        with_logprobs({"top_logprobs": [None, {"m": -math.inf}], "token_logprobs": [None, -0.5], "tokens": ["a", "b"]}),
        {"choices": [{"message": {"content": [{"type": "text", "text": "4"}]}}]},
    ],
)
def test_what_servers_do_send_is_an_answer(reply):
    check(reply)


def test_a_usage_that_is_no_count_is_none():
    assert completion(answer(usage={"completion_tokens": "16"})).completion_tokens is None
    assert completion(answer(usage={"completion_tokens": -1})).completion_tokens is None
    assert completion(answer(usage={"completion_tokens": 16.0})).completion_tokens == 16


def test_texts_can_be_written_and_encoded():
    said = completion(parse_json(b'{"choices": [{"text": "a\\ud83d b \\ud83d\\ude00"}]}'))
    assert said.text.encode() == "a\ufffd b \U0001f600".encode()
    assert completion(parse_json(b'{"choices": [{"text": "\xff"}]}')).text == "\ufffd"


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"9" * 5000, b'{"a": ' * 5000, b"\xff\xfe\x00"])
def test_what_is_no_json_is_a_bad_reply(data):
    with pytest.raises(BadReply, match="not JSON"):
        parse_json(data)


def test_the_beginning_of_an_answer_is_printable():
    for data in (
        b"\x1b]0;title\x07\x1b[2J" * 100,
        "\ud800\u202e",
        {"a": ["\x00"] * 999},
        json.loads("[" * 900 + "]" * 900),
    ):
        assert shown(data).isprintable() and len(shown(data)) <= 200 * 10 + 2


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"logprobs": {"content": [{"token": "m"}]}}, {}),
        ({"logprobs": {"content": [{"top_logprobs": [{"token": None, "logprob": -1.0}]}]}}, {}),
        ({"logprobs": {"content": [{"top_logprobs": [{"token": "m", "logprob": None}]}]}}, {}),
        ({"logprobs": {"top_logprobs": [None]}}, {}),
        ({"logprobs": {"top_logprobs": [{"m": -math.inf, "M": -0.1}]}}, {"m": -9999.0, "M": -0.1}),
        ({}, {"o": 0.0}),
    ],
)
def test_a_judge_that_names_no_letter_gives_none(choice, expected):
    check(answer(choice))
    top = _letters(choice, " ok")["logprobs"]["content"][0]["top_logprobs"]
    assert {one["token"]: one["logprob"] for one in top} == expected


def test_an_answer_that_no_try_could_read_stands_as_an_empty_one_and_says_why():
    reply = unreadable("it failed 4 times")
    said = completion(reply)
    assert (said.text, said.finish_reason, problem_of(reply)) == ("", UNREADABLE, "it failed 4 times")
    assert problem_of(answer()) is None and problem_of({"choices": []}) is None
    assert next_token_scores(reply, [1]) is None
    for score in (lambda: echoed_score(reply, 1, 1), lambda: scored_window(reply, WINDOW, 1)):
        with pytest.raises(CellError, match="failed 4 times"):
            score()
    answers = [Answer(finish_reason=UNREADABLE)] + [Answer(response="a", finish_reason="stop")] * 99
    assert [(flag.code, flag.level) for flag in answer_flags(answers, "x")] == [("unreadable", "caution")]
    assert answer_flags(answers[:50], "x")[0].level == "invalid"


@pytest.mark.parametrize(
    "top", [{"token_id:-1": -1.0}, {"token_id:4294967296": -1.0}, {"token_id:" + "9" * 5000: -1.0}]
)
def test_token_ids_that_are_none_are_refused(top):
    logprobs = {"tokens": ["token_id:1", "token_id:2"], "token_logprobs": [None, -1.0], "top_logprobs": [None, top]}
    with pytest.raises(CellError):
        scored_window(with_logprobs(logprobs), WINDOW, 1)


@pytest.mark.parametrize(
    "header",
    ["9" * 5000, "-1", "nan", "", "soon", "Mon, 01 Jan 99999999 00:00:00 GMT", "Mon, 99 Jan 2026 99:99:99 +9999"],
)
def test_any_retry_after_is_a_wait(header):
    assert retry_after_s(header, 0.0) >= 0.2
