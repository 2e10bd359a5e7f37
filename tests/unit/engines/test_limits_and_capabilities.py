"""What a server may be asked: its dialect, its owner's limits and prices. Known before anything is sent."""

import asyncio
import email.utils
import time
from dataclasses import asdict

import pytest

from harness.accuracy import Suite, suite_class
from harness.accuracy.generation import PAUSE_S, pause_s, retry_after_s
from harness.accuracy.lm_eval.logprobs import next_token_body, next_token_scores
from harness.config.schema import Config
from harness.config.workloads import CapacitySearch, LoadPoints, Scenario
from harness.engines import Deployment, Engine, Server
from harness.engines.dialect import LLAMACPP, OPENAI, SGLANG
from harness.engines.endpoint import Endpoint, EndpointConfig
from harness.engines.limits import Limits, Meter, Pace, TokenPrice, tokens_of
from harness.engines.llamacpp import LlamaCpp, LlamaCppConfig
from harness.loadgen.bench import Bench
from harness.loadgen.client.requests import make_request
from harness.loadgen.client.trace import Asked, Failure
from harness.loadgen.profiles import load_points
from harness.loadgen.samples import Sample
from harness.loadgen.traffic.requests import Traffic
from harness.records.cell import Cell
from harness.records.point import LoadPoint
from harness.sweeps.budget import Budget
from harness.sweeps.kinds.load import load_tokens
from harness.sweeps.preflight import capabilities
from harness.sweeps.prepare import allowed_concurrency

LOAD = LoadPoints(single_stream_requests=2, throughput_requests=0, rates_rps=[1.0, 20.0], repeats=2)


def config(**fields) -> Config:
    scenario = Scenario(prompt_tokens=100, output_tokens=20, **fields.pop("scenario", {}))
    return Config(name="n", model="m", baseline="b", scenarios={"chat_100_20": scenario}, load=fields.pop("load", LOAD))


def endpoint(tmp_path, **fields) -> Endpoint:
    return Endpoint(EndpointConfig(base_url="http://127.0.0.1:1", **fields), tmp_path)


def problems(config: Config, engine: Engine, suites: dict[str, Suite]) -> list[str]:
    points = {name: load_points(config.load, scenario) for name, scenario in config.scenarios.items()}
    return capabilities.problems(config, engine, suites, points)


def suite(kind: str, **fields):
    of = suite_class(kind)
    return of("s", of.Config(**fields))


def test_a_rate_above_a_limit_is_refused_before_anything_is_sent(tmp_path):
    engine = endpoint(tmp_path, requests_per_minute=600.0)
    assert problems(config(), engine, {}) == [
        "scenario chat_100_20: rate 20/s exceeds engine.requests_per_minute=600; load.rates_rps: at most 10"
    ]
    engine = endpoint(tmp_path, tokens_per_minute=72_000.0)
    [line] = problems(config(), engine, {})
    assert line.endswith("rate 20/s of 120 tokens exceeds engine.tokens_per_minute=72000; load.rates_rps: at most 10")
    search = LoadPoints(rates_rps=[], throughput_requests=0, capacity=CapacitySearch(probes=3, max_rps=50))
    asked = config(load=search, scenario={"slo": {"ttft_ms_p99": 100.0}})
    [line] = problems(asked, endpoint(tmp_path, requests_per_minute=60.0), {})
    assert line.endswith("rate 50/s exceeds engine.requests_per_minute=60; load.capacity.max_rps: at most 1")
    assert problems(config(), endpoint(tmp_path, requests_per_minute=1200.0), {}) == []


def test_more_in_flight_than_allowed_is_refused(tmp_path):
    load = LoadPoints(single_stream_requests=0, throughput_requests=64, rates_rps=[], concurrencies=[4, 16])
    engine = endpoint(tmp_path, max_concurrency=8)
    throughput, sixteen = problems(config(load=load), engine, {})
    assert "throughput_r0 has 64 requests in flight, engine.max_concurrency=8; set load.throughput_requests=0" in (
        throughput
    )
    assert "concurrency_16_r0 has 16 requests in flight" in sixteen
    assert allowed_concurrency(16, engine.limits) == 8
    assert allowed_concurrency(4, engine.limits) == 4
    assert allowed_concurrency(4, Limits()) == 4


def test_more_requests_at_once_than_a_minute_allows_are_refused(tmp_path):
    load = LoadPoints(single_stream_requests=0, throughput_requests=64, rates_rps=[])
    engine = endpoint(tmp_path, requests_per_minute=60.0)
    [said] = problems(config(load=load), engine, {})
    assert said.endswith("sends 64 requests at once, more than engine.requests_per_minute=60; "
                         "load.throughput_requests: at most 60")  # fmt: skip
    assert not problems(config(load=load), endpoint(tmp_path, requests_per_minute=64.0), {})
    [said] = problems(config(load=load), endpoint(tmp_path, tokens_per_minute=1000.0), {})
    assert "more than engine.tokens_per_minute=1000; load.throughput_requests: at most " in said


def test_suites_and_scenarios_that_a_server_cannot_serve_are_named(tmp_path):
    engine = LlamaCpp(LlamaCppConfig(), tmp_path)
    suites = {
        "mmlu": suite("lm_eval", task="mmlu", data="mmlu", fewshot=5),
        "gsm8k": suite("lm_eval", task="gsm8k", data="gsm8k", fewshot=5),
        "hellaswag": suite("lm_eval", task="hellaswag", fewshot=10),
        "perplexity": suite("perplexity"),
    }
    asked = config(scenario={"turns": 2})
    assert problems(asked, engine, suites) == [
        "suite hellaswag needs log-probabilities of a prompt's tokens (echo), which llama.cpp does not return; leave "
        "it out, or use engine=vllm",
        "suite perplexity needs log-probabilities of a prompt's tokens by token id (echo, "
        "return_tokens_as_token_ids), which llama.cpp does not return; leave it out, or use engine=vllm",
        "scenario chat_100_20 needs the ids of generated tokens (return_token_ids), which a conversation's next turn "
        "resends, which llama.cpp does not return; leave it out, or use engine=vllm",
    ]
    plain = problems(config(), endpoint(tmp_path, dialect="openai"), suites)
    assert [line.split()[1] for line in plain] == ["mmlu", "hellaswag", "perplexity"]
    assert "an endpoint of engine.dialect=openai does not return" in plain[0]
    assert problems(config(), endpoint(tmp_path), suites) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dialect": "vlm"}, "engine.dialect=vlm; did you mean 'vllm'"),
        ({"max_concurrency": 0}, "engine.max_concurrency=0 must be above 0"),
        ({"max_cost": 5.0}, "engine.max_cost=5 without a price; set engine.price.per_million_prompt_tokens="),
        ({"price": TokenPrice(0.1)}, "engine.price is set; set engine.price.date=YYYY-MM-DD and engine.price.source="),
        (
            {"price": TokenPrice(-1.0, date="2026-11-20", source="s")},
            "per_million_prompt_tokens=-1 must not be negative",
        ),
    ],
)
def test_wrong_limits_and_prices_are_named(tmp_path, fields, said):
    assert any(said in line for line in endpoint(tmp_path, **fields).problems())


def test_the_dialect_is_part_of_what_was_measured_and_limits_are_not(tmp_path):
    plain = endpoint(tmp_path).fingerprint()
    assert plain == {"kind": "endpoint", "version": None}, "as before there were dialects"
    assert endpoint(tmp_path, requests_per_minute=5.0, max_cost=1.0).fingerprint() == plain
    assert endpoint(tmp_path, dialect="openai").fingerprint() != plain


def test_only_fields_that_the_server_knows_are_sent():
    body = make_request(0, 0.0, "m", [1], Asked(1, 7), exact_length=OPENAI.exact_length).body
    assert b'"max_tokens":7' in body and b"min_tokens" not in body and b"ignore_eos" not in body
    body = make_request(0, 0.0, "m", [1], Asked(1, 7), exact_length=LLAMACPP.exact_length).body
    assert b'"ignore_eos":true' in body and b"min_tokens" not in body
    assert SGLANG.exact_length == ("min_tokens", "ignore_eos")


def test_a_server_that_refuses_our_fields_is_told_from_one_that_is_asked_too_much():
    bench = Bench(Server("http://x", "m"), None, Traffic("chat", None, None, 0))

    def line(kind: str, message: str) -> str:
        sample = Sample(0, Asked(1, 1), 0.0, 0.0, 0.0, 1.0, [], 0, None, None, Failure(kind, message))
        return bench.failure([sample], "throughput")

    refused = line("http_400", "Unrecognized request argument supplied: min_tokens")
    assert refused.endswith("it does not know min_tokens: set engine.dialect=openai (answers then end where the model "
                            "ends them)")  # fmt: skip
    assert "engine.requests_per_minute" in line("http_429", "rate limit")
    assert "dialect" not in line("http_400", "the prompt is too long")


def test_requests_keep_the_pace(monkeypatch):
    async def five() -> float:
        pace, began = Pace(Limits(requests_per_minute=1200.0)), time.monotonic()
        for _ in range(5):
            await pace.wait({"prompt": [1], "max_tokens": 1})
        return time.monotonic() - began

    assert 0.18 < asyncio.run(five()) < 2.0, "50 ms apart, the first at once"
    assert Limits(tokens_per_minute=600.0).seconds_for(20) == 2.0
    assert Limits(requests_per_minute=60.0, tokens_per_minute=600.0).seconds_for(5) == 1.0
    assert Limits().seconds_for(10**9) == 0.0


def test_tokens_of_a_request_are_counted_or_estimated():
    assert tokens_of({"prompt": [1, 2, 3], "max_tokens": 5}) == 8
    assert tokens_of({"messages": [{"content": "x" * 40}], "max_completion_tokens": 5}) == 15


def test_retry_after_is_seconds_or_a_date_or_missing():
    assert retry_after_s("7", 0.0) == 7.0
    assert 3 < retry_after_s(email.utils.formatdate(time.time() + 5, usegmt=True), 0.0) <= 5
    assert [retry_after_s(header, waited) for header, waited in ((None, 0.0), ("soon", 4.0), (None, 99.0))] == [
        1,
        4,
        30,
    ]


@pytest.mark.parametrize("header", ["86400", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_failed_request_is_sent_again_within_a_minute_whatever_retry_after_says(header):
    assert pause_s(1, header) == PAUSE_S == 60
    assert retry_after_s(header, 0.0) >= 86400


def test_a_failed_request_is_sent_again_after_retry_after_or_a_growing_pause():
    assert [pause_s(failures, None) for failures in (1, 2, 3, 9)] == [1.0, 2.0, 4.0, 10.0]
    assert [pause_s(1, header) for header in ("7", "0", "²", "0\x1f")] == [7.0, 1.0, 1.0, 1.0]


def test_llama_cpp_is_asked_for_its_likeliest_tokens():
    assert next_token_body([1, 2], [7, 8], LLAMACPP, 50) == {
        **{"prompt": [1, 2], "max_tokens": 1, "temperature": 0},
        "n_probs": 50,
    }
    tops = [{"id": 7, "token": " A", "logprob": -0.2}, {"id": 8, "token": " B", "logprob": -1.9}]
    reply = {"choices": [{"logprobs": {"content": [{"id": 7, "logprob": -0.2, "top_logprobs": tops}]}}]}
    assert next_token_scores(reply, [7, 8]) == [(-0.2, True), (-1.9, False)]
    assert next_token_scores(reply, [7, 9]) is None, "9 is not among them: asked again for the whole vocabulary"


PRICE = TokenPrice(2.0, 8.0, "USD", "2026-11-20", "a price list")


def cell(profile: str = "throughput", requests: int = 10) -> Cell:
    point = LoadPoint(profile, None, requests)
    return Cell("v/chat_100_20/x", "load", "v", "f", scenario="chat_100_20", point=point)


def test_a_cell_that_may_exceed_the_budget_is_not_started():
    budget = Budget(PRICE, 1.0, lambda _: (100_000.0, 50_000.0), spent=0.3)
    assert budget.refusal(cell()) is None, "0.3 + 0.2 + 0.4 is below 1"
    budget.add(Meter(10, 100_000, 0))
    assert budget.refusal(cell()) == (
        "not run: engine.max_cost=1 USD; 0.5 are spent and this cell takes about 0.6; raise engine.max_cost, or ask "
        "for less"
    )
    assert Budget(PRICE, None, budget.tokens, 1e9).refusal(cell()) is None


def test_cost_is_in_the_plan_and_in_the_record():
    budget = Budget(PRICE, None, lambda _: (1e6, 5e5))
    assert budget.words([cell(), cell()]) == (
        "about 2,000,000 prompt and at most 1,000,000 completion tokens: about 12 USD (a price list, 2026-11-20)"
    )
    assert Budget().words([cell()]) is None and budget.words([]) is None
    kept = budget.record(Meter(3, 1000, 500))
    assert asdict(kept.usage) == {"requests": 3, "prompt_tokens": 1000, "completion_tokens": 500}
    assert kept.cost.amount == pytest.approx(0.006) and kept.cost.date == "2026-11-20"
    assert Budget().record(Meter(1, 2, 3)).cost is None


def test_variants_may_have_prices_of_their_own():
    budget = Budget(TokenPrice(), None, lambda _: (1e6, 0.0), prices={"v": PRICE, "w": TokenPrice()})
    assert budget.words([cell()]).endswith("about 2 USD (a price list, 2026-11-20)")
    assert budget.record(Meter(1, 1_000_000, 0), "v").cost.amount == pytest.approx(2.0)
    assert budget.record(Meter(1, 1_000_000, 0), "w").cost is None


def test_a_meter_tells_what_was_added_since_it_was_last_asked():
    meter = Meter()
    meter.add_usage({"prompt_tokens": 5, "completion_tokens": 2})
    assert meter.lap() == Meter(1, 5, 2)
    meter.add_usage(None)
    assert meter.lap() == Meter(1, 0, 0) and meter.lap() == Meter()


def test_later_turns_resend_what_was_said():
    once = load_tokens(config(), cell())
    assert once == (10 * 100, 10 * 20)
    turns = config(scenario={"turns": 3, "turn_tokens": 50})
    assert load_tokens(turns, cell()) == (10 * (100 + 170 + 240), 10 * 60)


def test_an_endpoint_serves_with_its_limits_and_dialect(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.engines.endpoint.list_models", lambda _: ["m"])
    engine = endpoint(tmp_path, dialect="tensorrt_llm", max_concurrency=3)
    with engine.serve(Deployment("v", "m"), tmp_path / "log") as server:
        assert server.limits == Limits(3, None, None) and server.dialect.name == "tensorrt_llm"
