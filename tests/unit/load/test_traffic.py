import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from harness.config.workloads import LoadPoints, Scenario, Spread
from harness.loadgen.client.requests import MARK, continue_body, said_ids
from harness.loadgen.profiles import load_points
from harness.loadgen.traffic.requests import (
    Traffic,
    expected_prefix_share,
    longest_request,
    plan_requests,
    warm_up_requests,
)
from harness.records.point import LoadPoint

LOAD = LoadPoints()
SERVER = LoadPoint("server", 2.0, 6)


@pytest.fixture
def scenario(prose_file):
    return Scenario(prompt_tokens=32, output_tokens=4, text=prose_file)


@pytest.fixture
def turns(chat_file):
    return Scenario(prompt_tokens=32, output_tokens=4, text=chat_file, turns=3, turn_tokens=12, think_s=0.5)


@pytest.fixture
def trace(tmp_path):
    def write(*rows: dict) -> LoadPoints:
        path = Path(tmp_path / "trace.jsonl")
        path.write_text("\n".join(map(json.dumps, rows)))
        return LoadPoints(0, 0, rates_rps=[], trace=str(path))

    return write


def plan(tokenizer, scenario, point=SERVER, load=LOAD, model="m", seed=0):
    return list(plan_requests(Traffic("chat_32_4", scenario, load, seed), point, model, tokenizer))


def prompts(requests) -> list:
    return [json.loads(request.body)["prompt"] for request in requests]


def test_the_traffic_does_not_depend_on_the_variant(tokenizer, scenario):
    one, two = (plan(tokenizer, scenario, model=name) for name in ("bf16", "int4"))
    assert [r.intended_s for r in one] == [r.intended_s for r in two]
    assert [r.body.replace(b"bf16", b"int4") for r in one] == [r.body for r in two]


def test_every_point_and_repeat_has_fresh_prompts(tokenizer, scenario):
    points = [LoadPoint("single_stream", None, 4), LoadPoint("server", 2.0, 4), LoadPoint("server", 2.0, 4, 1)]
    points.append(LoadPoint("capacity", 2.0, 4, probe=0))
    points.append(LoadPoint("capacity", 2.0, 4, probe=1))
    bodies = [r.body for point in points for r in plan(tokenizer, scenario, point)]
    assert len(set(bodies)) == 20


def test_requests_are_made_as_they_are_asked_for(tokenizer, scenario):
    endless = LoadPoint("throughput", None, 1_000_000)
    requests = plan_requests(Traffic("chat_32_4", scenario, LOAD, 0), endless, "m", tokenizer)
    assert [r.index for r in itertools.islice(requests, 3)] == [0, 1, 2]


def test_lengths_are_drawn_and_asked_for(tokenizer, scenario):
    spread = dataclasses.replace(
        scenario, prompt_spread=Spread("normal", 0.3, 8), output_spread=Spread("lognormal", 0.5)
    )
    requests = plan(tokenizer, spread, LoadPoint("throughput", None, 40))
    assert [len(prompt) for prompt in prompts(requests)] == [r.asked.prompt_tokens for r in requests]
    assert [json.loads(r.body)["max_tokens"] for r in requests] == [r.asked.output_tokens for r in requests]
    assert len({r.asked.prompt_tokens for r in requests}) > 10
    assert len({r.asked.output_tokens for r in requests}) > 3
    longest = max(r.asked.prompt_tokens + r.asked.output_tokens for r in requests)
    assert longest_request(Traffic("chat_32_4", spread, LOAD, 0), LoadPoint("throughput", None, 40)) == longest


def test_text_is_sent_with_the_count_it_becomes(tokenizer, scenario):
    requests = plan(tokenizer, dataclasses.replace(scenario, send_as="text"))
    assert [len(tokenizer(prompt)["input_ids"]) for prompt in prompts(requests)] == [32] * 6
    assert all(r.asked.prompt_tokens == 32 for r in requests)


def test_a_conversation_is_its_turns_in_order(tokenizer, turns):
    requests = plan(tokenizer, turns)
    assert [r.index for r in requests] == list(range(18))
    assert [r.asked.turn for r in requests] == [0, 1, 2] * 6
    assert [r.asked.prompt_tokens for r in requests] == [32, 48, 64] * 6  # + 4 answered + 12 said
    assert [r.intended_s for r in requests if r.asked.turn] == [0.5] * 12
    starts = [r.intended_s for r in requests if not r.asked.turn]
    assert starts == sorted(set(starts))
    assert [b"return_token_ids" in r.body for r in requests] == [True, True, False] * 6
    assert [prompt[0] == MARK for prompt in prompts(requests)] == [False, True, True] * 6
    assert longest_request(Traffic("chat_32_4", turns, LOAD, 0), SERVER) == 68


def test_a_conversation_resends_all_that_was_said(tokenizer, turns):
    first, second, third = plan(tokenizer, turns)[:3]
    one = continue_body(second.body, first.body, said_ids([11, 12, 13, 14]))
    two = continue_body(third.body, one, said_ids([21, 22, 23, 24]))
    prompt = json.loads(two)["prompt"]
    assert len(prompt) == third.asked.prompt_tokens
    assert prompt[:32] == json.loads(first.body)["prompt"]
    assert prompt[32:36] == [11, 12, 13, 14]
    assert prompt[48:52] == [21, 22, 23, 24]
    assert tokenizer.decode(prompt[52:]).startswith("<|end|><|user|>")
    assert tokenizer.decode(prompt).endswith("<|end|><|assistant|>")


def test_later_messages_differ(tokenizer, turns):
    later = [tuple(prompt) for prompt in prompts(plan(tokenizer, turns)) if prompt[0] == MARK]
    assert len(set(later)) > 8


def test_prose_is_continued_without_a_template(tokenizer, scenario):
    requests = plan(tokenizer, dataclasses.replace(scenario, turns=2))
    assert [r.asked.prompt_tokens for r in requests] == [32, 68] * 6
    assert not any("<|" in tokenizer.decode(prompt[1:]) for prompt in prompts(requests))


def test_a_replay_sends_what_the_file_says(tokenizer, scenario, trace):
    load = trace(
        {"timestamp": 1000, "input_length": 600, "output_length": 7, "hash_ids": [1, 2]},
        {"timestamp": 3000, "input_length": 1030, "output_length": 8, "hash_ids": [1, 3, 4]},
    )
    (point,) = load_points(dataclasses.replace(load, trace_speed=4.0), scenario)
    one, two = plan(tokenizer, scenario, point, load)
    assert [one.intended_s, two.intended_s] == [0.0, 0.5]
    assert [one.asked.output_tokens, two.asked.output_tokens] == [7, 8]
    first, second = prompts([one, two])
    assert (len(first), len(second)) == (600, 1030)
    assert first[:512] == second[:512]
    assert first[512:528] != second[512:528]
    assert expected_prefix_share(scenario, point, load) == 512 / 1630
    assert longest_request(Traffic("chat_32_4", scenario, load, 0), point) == 1038


def test_a_replay_without_blocks_shares_nothing(tokenizer, scenario, trace):
    load = trace(*({"timestamp": n, "input_length": 40 + n, "output_length": 7} for n in range(3)))
    (point,) = load_points(load, scenario)
    found = prompts(plan(tokenizer, scenario, point, load))
    assert [len(prompt) for prompt in found] == [40, 41, 42]
    assert len({tuple(prompt[:16]) for prompt in found}) == 3
    assert expected_prefix_share(scenario, point, load) == 0.0


def test_what_a_prefix_cache_may_find(scenario, turns):
    def share(**change) -> float:
        return expected_prefix_share(dataclasses.replace(scenario, **change), SERVER, LOAD)

    assert share() == 0.0
    assert share(shared_prefix_tokens=16) == pytest.approx(5 * 16 / (6 * 32))
    # prompts of 32, 48 and 64 tokens, of which 36 and 52 were said before
    assert expected_prefix_share(turns, SERVER, LOAD) == pytest.approx((36 + 52) / (32 + 48 + 64))


def test_a_warm_up_is_short_and_sends_what_no_point_does(tokenizer, scenario):
    long = dataclasses.replace(scenario, output_tokens=100)
    load = LoadPoints(warmup_requests=3)
    warm = warm_up_requests(Traffic("chat_32_4", long, load, 0), "m", tokenizer)
    assert [(r.asked.prompt_tokens, r.asked.output_tokens, r.intended_s) for r in warm] == [(32, 16, 0.0)] * 3
    sent = [tuple(prompt) for prompt in prompts(warm + plan(tokenizer, long))]
    assert len(set(sent)) == 9
