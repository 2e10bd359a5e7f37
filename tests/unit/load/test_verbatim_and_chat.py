"""What is sent over chat completions: verbatim messages, and generated ones whose template makes them the count."""

import json

import pytest

from harness.config.workloads import LoadPoints, Scenario
from harness.errors import ConfigError
from harness.loadgen.profiles import load_points
from harness.loadgen.traffic.requests import Traffic, expected_prefix_share, plan_requests, warm_up_requests
from harness.loadgen.traffic.verbatim import api_of, mean_lengths, repeated
from harness.records.point import LoadPoint
from harness.text.tokenizer import encode

LOAD = LoadPoints()
POINT = LoadPoint("server", 4.0, 12)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [
        {"messages": [{"role": "system", "content": "be kind"},
                      {"role": "user", "content": f"question {n} of the ship"},
                      {"role": "assistant", "content": "answer " * (n + 1)}]}
        for n in range(8)
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def verbatim(file, **changes):
    return Scenario(prompt_tokens=0, output_tokens=0, text=file, send="verbatim", **changes)


def bodies(tokenizer, scenario, point=POINT, model="m", **more):
    requests = list(plan_requests(Traffic("s", scenario, LOAD, 0), point, model, tokenizer, **more))
    return requests, [json.loads(request.body) for request in requests]


def test_rows_are_sent_as_they_are_in_an_order_that_is_the_same_for_all_variants(tokenizer, file):
    requests, sent = bodies(tokenizer, verbatim(file))
    assert {json.dumps(body["messages"]) for body in sent[:8]} == {json.dumps(body["messages"]) for body in sent}
    assert [message["role"] for message in sent[0]["messages"]] == ["system", "user"]
    assert sent[0] == {
        "messages": sent[0]["messages"],
        **{"model": "m", "max_tokens": sent[0]["max_tokens"], "temperature": 0, "stream": True},
        "stream_options": {"include_usage": True},
    }, "the model ends its answer"
    for request, body in zip(requests, sent, strict=True):
        number = int(body["messages"][1]["content"].split()[1])
        assert body["max_tokens"] == len(encode(tokenizer, "answer " * (number + 1))) == request.asked.output_tokens
        assert request.asked.bounded and not request.asked.counted
    assert [body["messages"] for body in bodies(tokenizer, verbatim(file), model="other")[1]] == [
        body["messages"] for body in sent
    ]
    again = bodies(tokenizer, verbatim(file), LoadPoint("server", 2.0, 12))[1]
    assert [body["messages"] for body in again] != [body["messages"] for body in sent], "another point, another order"


def test_output_tokens_bound_every_answer(tokenizer, file):
    scenario = Scenario(prompt_tokens=0, output_tokens=5, text=file, send="verbatim")
    assert {body["max_tokens"] for body in bodies(tokenizer, scenario)[1]} == {5}
    warm = warm_up_requests(Traffic("s", verbatim(file, api="chat"), LOAD, 0), "m", tokenizer)
    assert len(warm) == LOAD.warmup_requests and all(json.loads(one.body)["max_tokens"] <= 16 for one in warm)


def test_messages_as_text_go_through_the_chat_template(tokenizer, file):
    _, sent = bodies(tokenizer, verbatim(file, api="completions"))
    _, over_chat = bodies(tokenizer, verbatim(file))
    expected = [
        tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
        for body in over_chat
    ]
    assert [body["prompt"] for body in sent] == expected


def test_prompts_go_to_completions_and_may_be_asked_over_chat(tokenizer, tmp_path):
    path = tmp_path / "plain.jsonl"
    path.write_text('{"prompt": "the ship", "max_tokens": 3}\n')
    scenario = verbatim(str(path))
    assert api_of(scenario) == "completions" and bodies(tokenizer, scenario)[1][0]["prompt"] == "the ship"
    (body, *_) = bodies(tokenizer, verbatim(str(path), api="chat"))[1]
    assert body["messages"] == [{"role": "user", "content": "the ship"}]
    assert [flag.code for flag in repeated(scenario, 2)] == ["prompts_repeat"] and not repeated(scenario, 1)


@pytest.mark.parametrize("prompt_tokens", [24, 60, 200])
def test_a_generated_message_has_the_count_with_its_template(tokenizer, prose_file, prompt_tokens):
    scenario = Scenario(prompt_tokens=prompt_tokens, output_tokens=7, text=prose_file, api="chat")
    requests, sent = bodies(tokenizer, scenario)
    for body in sent:
        text = tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
        assert len(encode(tokenizer, text)) == prompt_tokens
        assert (body["max_tokens"], body["min_tokens"], body["ignore_eos"]) == (7, 7, True)
    assert len({body["messages"][0]["content"] for body in sent}) == len(sent)
    assert not requests[0].asked.bounded


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"send": "verbatm"}, "send: 'verbatm'; did you mean 'verbatim'"),
        ({"api": "chatt"}, "api: 'chatt'; did you mean 'chat'"),
        ({"send": "verbatim", "turns": 2}, "send: verbatim sends prompts as they are; leave turns out"),
        ({"send": "verbatim", "shared_prefix_tokens": 8}, "leave shared_prefix_tokens out"),
        ({"send_as": "text", "turns": 2}, "continued with the token ids of its answer; set send_as: ids, or api: chat"),
    ],
)
def test_settings_that_make_no_sense_are_named(changes, said):
    with pytest.raises(ConfigError, match=said):
        load_points(LOAD, Scenario(prompt_tokens=10, output_tokens=5, **changes))


def test_lengths_are_estimated_for_plans(file):
    assert mean_lengths(verbatim(file)) == (8, 8)
    assert mean_lengths(Scenario(prompt_tokens=10, output_tokens=5)) == (10, 5)
    assert expected_prefix_share(verbatim(file), POINT, LOAD) == 1.0
