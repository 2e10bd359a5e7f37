"""Requests as clients send them, answers in the shapes that the harness's own readers expect."""

import json

import pytest

from harness.accuracy.lm_eval.logprobs import echo_body, echoed_score, next_token_body, next_token_scores
from harness.engines.simulated.answers import Answer
from harness.engines.simulated.asked import Asked, read_asked
from harness.engines.simulated.http import Refused, read_head


def asked(body: dict, *, chat: bool = False, seed: int = 0) -> Asked:
    return read_asked(body, chat=chat, raw=json.dumps(body).encode(), seed=seed, max_model_len=1000)


def answer(body: dict, **options) -> Answer:
    return Answer(asked(body, **options), "cmpl-1", "m", 1700000000)


def events(body: dict, **options) -> list[dict]:
    made = answer(body, **options)
    stream = b"".join(made.event(token, 10**12 + token) for token in range(made.asked.output_tokens)) + made.ending()
    found = [line.removeprefix("data: ") for line in stream.decode().split("\n\n") if line]
    assert found.pop() == "[DONE]"
    return [json.loads(event) for event in found]


def test_a_stream_and_a_whole_answer_say_the_same():
    body = {"prompt": [5, 6, 7], "max_tokens": 30, "ignore_eos": True}
    streamed = events(body)
    whole = answer(body).whole()
    assert "".join(event["choices"][0]["text"] for event in streamed) == whole["choices"][0]["text"]
    assert all(event["choices"][0]["text"] for event in streamed)
    assert [event["choices"][0]["finish_reason"] for event in streamed] == [None] * 29 + ["length"]
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 30, "total_tokens": 33}
    assert {event["id"] for event in streamed} == {whole["id"]} == {"cmpl-1"}


def test_the_moment_of_sending_is_the_last_key_of_every_token():
    streamed = events({"prompt": [5], "max_tokens": 4, "ignore_eos": True})
    assert [list(event)[-1] for event in streamed] == ["sent_ns"] * 4
    assert [event["sent_ns"] for event in streamed] == [10**12 + token for token in range(4)]


def test_usage_comes_where_it_is_asked_for():
    body = {"prompt": "some text of 28 characters..", "max_tokens": 2, "ignore_eos": True}
    assert all(event["choices"] for event in events(body))
    *_, last = events({**body, "stream_options": {"include_usage": True}})
    assert last["choices"] == [] and last["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def test_chat_streams_announce_the_role_first():
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3, "ignore_eos": True}
    role, *tokens = events(body, chat=True)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""} and "sent_ns" not in role
    assert len(tokens) == 3 and all(token["choices"][0]["delta"]["content"] for token in tokens)
    assert {token["object"] for token in tokens} == {"chat.completion.chunk"}


def test_token_ids_are_given_as_vllm_gives_them():
    first, *rest = events({"prompt": [5, 6], "max_tokens": 3, "ignore_eos": True, "return_token_ids": True})
    assert first["choices"][0]["prompt_token_ids"] == [5, 6]
    assert all(len(event["choices"][0]["token_ids"]) == 1 for event in [first, *rest])
    assert all("prompt_token_ids" not in event["choices"][0] for event in rest)


def test_answers_end_by_themselves_unless_eos_is_ignored():
    def length(n: int, **more) -> tuple[int, str]:
        got = asked({"prompt": [n], "max_tokens": 200, **more})
        return got.output_tokens, got.finish_reason

    ended = [length(n) for n in range(400)]
    assert {reason for _, reason in ended} == {"stop", "length"}
    assert all((tokens < 200) == (reason == "stop") for tokens, reason in ended)
    # the mean of a geometric length of mean 128 that is cut at 200: 128 (1 - exp(-200/128))
    assert sum(tokens for tokens, _ in ended) / 400 == pytest.approx(101, rel=0.1)
    assert {length(n, ignore_eos=True) for n in range(20)} == {(200, "length")}
    assert min(length(n, min_tokens=90)[0] for n in range(100)) == 90
    assert length(7) == length(7)
    known = read_asked(
        {"prompt": [1], "max_tokens": 90}, chat=False, raw=b"", seed=0, max_model_len=99, full_length=True
    )
    assert known.output_tokens == 90
    chat = {"messages": [{"role": "user", "content": "hello"}]}
    assert {asked({**chat, "seed": n}, chat=True).finish_reason for n in range(20)} == {"stop"}, "no limit: 999 tokens"


def test_the_seed_changes_what_is_said():
    body = {"prompt": [1], "max_tokens": 40, "ignore_eos": True}
    said = {answer(body, seed=seed).whole()["choices"][0]["text"] for seed in range(8)}
    assert len(said) > 4


def test_multiple_choice_reads_its_log_probabilities():
    whole = answer({"model": "m", **next_token_body([1, 2, 3], [10, 11, 12, 13])}).whole()
    scores = next_token_scores(whole, [10, 11, 12, 13])
    assert scores is not None and len({logprob for logprob, _ in scores}) == 4
    assert all(logprob < 0 for logprob, _ in scores)
    echoed = answer({"model": "m", **echo_body([1, 2, 3], [4, 5])}).whole()
    assert echoed_score(echoed, 3, 2)[0] < 0
    assert len(echoed["choices"][0]["logprobs"]["tokens"]) == 6


def test_a_judge_finds_its_letters():
    body = {"messages": [{"role": "user", "content": "m or M?"}], "max_tokens": 1, "logprobs": True, "top_logprobs": 5}
    [entry] = answer(body, chat=True).whole()["choices"][0]["logprobs"]["content"]
    assert {"m", "M"} <= {top["token"].strip() for top in entry["top_logprobs"]}
    assert entry["logprob"] == max(top["logprob"] for top in entry["top_logprobs"]), "decoding is greedy"
    plain = answer({"prompt": "m or M?", "max_tokens": 1, "logprobs": 5}).whole()["choices"][0]["logprobs"]
    assert {"m", "M"} <= {token.strip() for token in plain["top_logprobs"][0]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_tokens": 5}, "prompt must be"),
        ({"prompt": []}, "prompt must be"),
        ({"prompt": ["two", "prompts"]}, "list of token ids"),
        ({"prompt": [1, "x"]}, "list of token ids"),
        ({"prompt": [1, True]}, "list of token ids"),
        ({"prompt": [1] * 999, "max_tokens": 2}, "maximum context length is 1000"),
        ({"prompt": [1], "max_tokens": 0}, "max_tokens=0"),
        ({"prompt": [1], "max_tokens": "many"}, "must be an integer"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(body, message):
    with pytest.raises(ValueError, match=message):
        asked(body)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_head_may_come_in_pieces(cut):
    data = b"POST /v1/completions?x=1 HTTP/1.1\r\nHost: x\r\nCONTENT-length: 3\r\nX-Request-Id: r7\r\n\r\nabc"
    buffer = bytearray(data[:cut])
    assert read_head(buffer) is None and bytes(buffer) == data[:cut]
    buffer += data[cut:]
    head = read_head(buffer)
    assert (head.method, head.path, head.length, head.request_id, head.close) == (
        "POST", "/v1/completions", 3, "r7", False,
    )  # fmt: skip
    assert bytes(buffer) == b"abc"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    ],
)
def test_heads_that_cannot_be_read_end_the_connection(data, status):
    with pytest.raises(Refused) as refused:
        read_head(bytearray(data))
    assert refused.value.status == status and refused.value.fatal
