"""Suites against servers that answer as hosted APIs do: filters, quotas, empty errors, prompts as text only."""

import json
import time

import pytest
from aiohttp import web

from harness.accuracy import Context, generation
from harness.accuracy.alpaca_eval.annotator import preferences
from harness.accuracy.alpaca_eval.judge_prompts import Pair
from harness.accuracy.alpaca_eval.suite import AlpacaEval, AlpacaEvalConfig
from harness.accuracy.generation import request_many
from harness.accuracy.lm_eval.suite import LmEval, LmEvalConfig
from harness.engines import Server
from harness.engines.dialect import OPENAI
from harness.engines.endpoint import Endpoint, EndpointConfig
from harness.errors import CellError

GOOD = {"choices": [{"text": " It is 4.\n#### 4", "finish_reason": "stop"}], "usage": {"completion_tokens": 8}}


@pytest.fixture
def serve(listen):
    """serve(answer): answer(body) -> (status, JSON, headers). The server, and the bodies that came."""

    def start(answer, dialect=OPENAI, path="/v1/completions"):
        bodies = []

        async def post(request):
            bodies.append(body := await request.json())
            status, data, headers = answer(body)
            return web.json_response(data, status=status, headers=headers)

        port = listen(web.post(path, post))
        return Server(f"http://127.0.0.1:{port}", "m", dialect=dialect), bodies

    return start


@pytest.fixture
def context(tokenizer, tmp_path):
    def make(server):
        return Context(server, tokenizer, "pocket", 0, 4, tmp_path, lambda done, total: None)

    return make


def gsm8k():
    return LmEval("gsm8k", LmEvalConfig(task="gsm8k", data="gsm8k", fewshot=1, items=4, max_tokens=16))


def test_an_error_field_of_null_is_an_answer(serve, context):
    server, bodies = serve(lambda body: (200, GOOD | {"error": None}, {}))
    assert gsm8k().run(context(server)).result.counts.empty == 0
    assert len(bodies) == 4, "nothing is asked twice"


FILTERED = [{"text": None, "finish_reason": "content_filter"}, None]


@pytest.mark.parametrize("choice", FILTERED, ids=["text null", "no choices"])
@pytest.mark.parametrize("suite", [gsm8k, lambda: AlpacaEval("alpaca_eval", AlpacaEvalConfig(items=4))])
def test_filtered_answers_are_empty_and_counted(choice, suite, serve, context):
    server, _ = serve(lambda body: (200, {"choices": [choice] if choice else []}, {}))
    outcome = suite().run(context(server))
    assert outcome.result.counts.empty == 4
    assert [row["response"] for row in outcome.rows] == [""] * 4
    assert "content_filter" in {flag.code for flag in outcome.flags}


def test_a_judge_whose_answers_are_all_empty_gives_no_preference(serve, tmp_path):
    message = {"role": "assistant", "content": None, "reasoning_content": "Both are good."}
    reply = {"choices": [{"message": message, "finish_reason": "length"}]}
    server, bodies = serve(lambda body: (200, reply, {}), path="/v1/chat/completions")
    pairs = [Pair("Name a city.", "Paris", "I do not know"), Pair("Name a river.", "Rhine", "Rhone")]
    assert preferences(server, pairs, "chat", concurrency=2, work_dir=tmp_path) == [None, None]
    assert len(bodies) == 2


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "top up the account"),
        (402, {"message": "Insufficient Balance"}, "top up the account"),
        (401, {"message": "no"}, "check the API key"),
        (404, {"message": "The model `m` does not exist", "code": "model_not_found"}, "set engine.model"),
        (200, {"message": "no credit left", "code": "insufficient_quota"}, "top up the account"),
    ],
)
def test_a_final_refusal_ends_the_suite_at_once(status, error, said, serve, context):
    server, bodies = serve(lambda body: (status, {"error": error}, {}))
    began = time.monotonic()
    with pytest.raises(CellError, match=said) as failed:
        request_many(server, "/v1/completions", [{"prompt": [1], "max_tokens": 1}] * 8, concurrency=1)
    assert len(bodies) == 1 and time.monotonic() - began < 30
    assert "\n" not in str(failed.value)


def test_a_rate_limit_is_waited_for_and_one_of_an_hour_is_not(serve):
    left = iter([(429, {"error": {"code": "rate_limit_exceeded"}}, {"Retry-After": "0"})] * 3)
    server, bodies = serve(lambda body: next(left, (200, GOOD, {})))
    request_many(server, "/v1/completions", [{"prompt": [1], "max_tokens": 1}], concurrency=1)
    assert len(bodies) == 4
    server, bodies = serve(lambda body: (429, {"error": {"code": "rate_limit_exceeded"}}, {"Retry-After": "3600"}))
    with pytest.raises(CellError, match="would wait 3600 s"):
        request_many(server, "/v1/completions", [{"prompt": [1], "max_tokens": 1}], concurrency=1)
    assert len(bodies) == 1


def takes_text(body):
    if isinstance(body["prompt"], str):
        return 200, GOOD, {}
    return 422, {"detail": [{"loc": ["body", "prompt"], "msg": "Input should be a valid string"}]}, {}


@pytest.mark.parametrize("suite", [gsm8k, lambda: AlpacaEval("alpaca_eval", AlpacaEvalConfig(items=4))])
def test_a_server_that_takes_text_only(suite, serve, context, tokenizer):
    server, _ = serve(takes_text)
    with pytest.raises(CellError, match=r"422.*set engine\.send_as=text"):
        suite().run(context(server))
    as_ids, wanted = serve(lambda body: (200, GOOD, {}))
    suite().run(context(as_ids))
    server, bodies = serve(takes_text, dialect=OPENAI.for_text_prompts())
    outcome = suite().run(context(server))
    assert outcome.result.counts.items == 4
    from harness.text.tokenizer import load_tokenizer

    read = load_tokenizer(tokenizer)
    assert sorted(read(body["prompt"])["input_ids"] for body in bodies) == sorted(body["prompt"] for body in wanted)


def test_send_as_is_a_setting_of_an_endpoint(tmp_path):
    text = Endpoint(EndpointConfig(base_url="http://127.0.0.1:1", send_as="text"), tmp_path)
    ids = Endpoint(EndpointConfig(base_url="http://127.0.0.1:1"), tmp_path)
    assert text.dialect.send_as == "text" and not text.dialect.gives and "engine.send_as=text" in text.label
    assert ids.fingerprint() == {"kind": "endpoint", "version": None}, "cells measured before keep their fingerprints"
    assert text.fingerprint() == {"kind": "endpoint", "version": None, "send_as": "text"}
    (problem,) = Endpoint(EndpointConfig(base_url="http://127.0.0.1:1", send_as="txt"), tmp_path).problems()
    assert "engine.send_as=txt; did you mean 'text'" in problem


MALFORMED = [
    {"choices": 5},
    {"choices": [{"text": 5}]},
    [GOOD, GOOD],
    {"choices": [{"text": "a", "logprobs": {"top_logprobs": [{"m": 2.0}]}}]},
]


@pytest.mark.parametrize("bad", MALFORMED)
def test_an_answer_that_cannot_be_read_costs_a_try(bad, serve, monkeypatch):
    monkeypatch.setattr(generation, "pause_s", lambda *_: 0.0)
    left = iter([bad, bad])
    server, bodies = serve(lambda body: (200, next(left, GOOD), {}))
    assert request_many(server, "/v1/completions", [{"prompt": "x"}] * 3, concurrency=1) == [GOOD] * 3
    assert len(bodies) == 5


def test_one_that_no_try_can_read_is_one_failure_and_more_end_the_suite(serve, context, monkeypatch):
    monkeypatch.setattr(generation, "pause_s", lambda *_: 0.0)
    asked = []

    def answer(body):
        asked.append(body["prompt"])
        return 200, {"choices": 5} if body["prompt"] == asked[0] else GOOD, {}

    server, _ = serve(answer)
    outcome = gsm8k().run(context(server))
    assert outcome.result.counts.errors == outcome.result.counts.empty == 1
    assert {flag.code: flag.level for flag in outcome.flags}["unreadable"] == "invalid"
    server, _ = serve(lambda body: (200, {"choices": 5}, {}))
    with pytest.raises(CellError, match="choices is '5', not a list"):
        gsm8k().run(context(server))


def test_a_usage_of_texts_and_half_characters_are_answered(serve, context):
    reply = GOOD | {"usage": {"prompt_tokens": "4", "completion_tokens": [8]}}
    reply["choices"] = [{"text": "\ud83d 4\n#### 4", "finish_reason": "stop"}]
    server, bodies = serve(lambda body: (200, reply, {}))
    outcome = gsm8k().run(context(server))
    assert len(bodies) == 4 and {row["response"][0] for row in outcome.rows} == {"\ufffd"}


@pytest.mark.parametrize("logprob", [2.0, "-1", [1], {}])
def test_a_judge_whose_log_probabilities_are_none_gives_no_preference(logprob, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "pause_s", lambda *_: 0.0)

    def reply(body):
        said = [{"token": "m", "logprob": -0.1 if "river" in json.dumps(body) else logprob}]
        content = [{"token": "m", "top_logprobs": said}]
        return 200, {"choices": [{"message": {"content": "m"}, "logprobs": {"content": content}}]}, {}

    server, _ = serve(reply, path="/v1/chat/completions")
    pairs = [Pair("Name a city.", "Paris", "I do not know"), Pair("Name a river.", "Seine", "I do not know")]
    broken, fine = preferences(server, pairs, "chat", concurrency=2, work_dir=tmp_path)
    assert broken is None and fine is not None
