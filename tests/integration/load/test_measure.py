"""A whole load cell: from its name to result, rows and flags."""

import json
import socket

import pytest

from harness.config.workloads import LoadPoints, Scenario
from harness.engines import Server
from harness.errors import CellError
from harness.loadgen.bench import Bench
from harness.loadgen.measure import measure, warm_up
from harness.loadgen.profiles import load_points
from harness.loadgen.traffic.requests import Traffic
from harness.records.point import LoadPoint

LOAD = LoadPoints(
    single_stream_requests=3,
    throughput_requests=8,
    rates_rps=[40.0],
    duration_s=0.25,
    min_requests=4,
    max_requests=100,
    warmup_requests=3,
    request_timeout_s=5.0,
    cell_timeout_s=20.0,
)


THREE = LoadPoint("single_stream", None, 3, concurrency=1)


@pytest.fixture
def scenario(prose_file):
    return Scenario(prompt_tokens=40, output_tokens=5, text=prose_file)


def bench(server, tokenizer, scenario, load=LOAD):
    return Bench(server, tokenizer, Traffic("tiny_40_5", scenario, load, 0))


def codes(outcome):
    return {flag.code: flag.level for flag in outcome.flags}


def test_every_profile_measures(scripted, tokenizer, scenario):
    for point in load_points(LOAD, scenario):
        outcome = measure(bench(scripted.server, tokenizer, scenario), point)
        r, rows = outcome.result.to_json(), list(outcome.rows)
        assert r["requests_completed"] == point.requests == len(rows)
        assert (r["prompt_tokens"], r["completion_tokens"]) == (40 * point.requests, 5 * point.requests)
        assert r["offered_rps"] == point.rate_rps
        assert r["itl_ms_p50"] > 0 or "merged_reads" in codes(outcome)  # a busy machine reads tokens together
        assert r["prefix_cache_hit_rate"] == 0.0
        busy = {"client_lag", "client_stall", "merged_reads", "rate_not_offered", "saturated"}  # this machine may be
        assert codes(outcome).keys() <= {"few_samples", "server_disagrees", *busy}
        json.dumps([r, rows])
    assert len({tuple(body["prompt"]) for body in scripted.bodies}) == len(scripted.bodies)


def test_the_same_point_sends_the_same_traffic_again(scripted, tokenizer, scenario):
    point = LoadPoint("server", 40.0, 6)
    outcomes = [measure(bench(scripted.server, tokenizer, scenario), point) for _ in range(2)]
    first, second = ([row["intended_s"] for row in outcome.rows] for outcome in outcomes)
    assert first == second
    prompts = sorted(body["prompt"] for body in scripted.bodies)
    assert prompts[0::2] == prompts[1::2]


def test_a_few_failures_are_flagged(scripted, tokenizer, scenario):
    scripted.script = ["good", "good", "503"]
    point = LoadPoint("single_stream", None, 6, concurrency=1)
    outcome = measure(bench(scripted.server, tokenizer, scenario), point)
    assert outcome.result.errors == {"http_503": 2}
    assert codes(outcome)["errors"] == "invalid"
    assert [row["error"] and row["error"]["kind"] for row in outcome.rows] == [None, None, "http_503"] * 2


def test_other_counts_than_asked_are_flagged(scripted, tokenizer, scenario):
    scripted.script = ["miscount"]
    point = LoadPoint("single_stream", None, 2, concurrency=1)
    outcome = measure(bench(scripted.server, tokenizer, scenario), point)
    assert codes(outcome)["token_mismatch"] == "invalid"


def test_prefix_cache_hits_are_flagged(scripted, tokenizer, scenario):
    point = LoadPoint("single_stream", None, 2, concurrency=1)
    outcome = measure(
        bench(scripted.server, tokenizer, scenario),
        point,
        progress=lambda done, total: setattr(scripted, "cached_tokens", 20 * done),
    )
    assert outcome.result.server.prefix_cache_hit_rate == pytest.approx(0.5)
    assert codes(outcome)["prefix_cache_hits"] == "caution"


@pytest.mark.parametrize("script", [["503"], ["503", "503", "good"]])
def test_a_server_that_mostly_fails_has_no_numbers(scripted, tokenizer, scenario, script):
    scripted.script = script
    point = LoadPoint("single_stream", None, 6, concurrency=1)
    with pytest.raises(CellError, match=r"tiny_40_5, single_stream_r0: of 6 requests .* http_503: .*overloaded"):
        measure(bench(scripted.server, tokenizer, scenario), point)


def test_a_dead_server_is_named(tokenizer, scenario):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}", "tiny")
    with pytest.raises(CellError, match=rf"127.0.0.1:{port} 3 failed.* connect: "):
        measure(
            bench(server, tokenizer, scenario),
            LoadPoint("single_stream", None, 3, concurrency=1),
        )
    with pytest.raises(CellError, match="warm-up"):
        warm_up(bench(server, tokenizer, scenario))


def test_a_cell_out_of_time_keeps_what_it_has(scripted, tokenizer, scenario):
    scripted.script = ["good", "good", "silent"]
    load = LoadPoints(cell_timeout_s=0.8)
    point = LoadPoint("single_stream", None, 5, concurrency=1)
    outcome = measure(bench(scripted.server, tokenizer, scenario, load), point)
    assert codes(outcome)["cell_timeout"] == "invalid"
    assert outcome.result.requests_completed == 2


def test_warm_up_sends_its_requests_and_none_of_the_cells(scripted, tokenizer, scenario):
    warm_up(bench(scripted.server, tokenizer, scenario))
    assert len(scripted.bodies) == 3
    warm = {tuple(body["prompt"][:16]) for body in scripted.bodies}
    measure(
        bench(scripted.server, tokenizer, scenario),
        LoadPoint("single_stream", None, 3, concurrency=1),
    )
    assert not warm & {tuple(body["prompt"][:16]) for body in scripted.bodies[3:]}
    warm_up(bench(scripted.server, tokenizer, scenario, LoadPoints(warmup_requests=0)))
    assert len(scripted.bodies) == 6
