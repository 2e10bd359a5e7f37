import dataclasses
import subprocess
import sys

import pytest

from harness.config.workloads import CapacitySearch, LoadPoints, Scenario
from harness.errors import ConfigError
from harness.loadgen.profiles import PROFILES, derive_seed, load_points, traffic_seed
from harness.records.point import LoadPoint

CHAT = Scenario(prompt_tokens=512, output_tokens=256)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("harness.loadgen.profiles", ("numpy", "aiohttp", "transformers")),
        # one of these starts for every load cell, and for every simulated session
        ("harness.loadgen.client.worker", ("numpy", "aiohttp", "transformers", "omegaconf", "yaml", "asyncio")),
        ("harness.engines.simulated.server", ("numpy", "aiohttp", "transformers", "omegaconf", "yaml")),
    ],
)
def test_importing_is_light(module: str, heavy: tuple[str, ...]):
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_slugs_name_profile_rate_and_repeat():
    assert LoadPoint("single_stream", None, 16).slug == "single_stream_r0"
    assert LoadPoint("server", 2.0, 120).slug == "server_2rps_r0"
    assert LoadPoint("server", 0.5, 30, 1).slug == "server_0.5rps_r1"
    assert LoadPoint("server", 2.0, 9, arrivals="gamma", burstiness=0.25).slug == "server_2rps_gamma0.25_r0"
    assert LoadPoint("server", 2.0, 9, arrivals="constant").slug == "server_2rps_constant_r0"
    assert LoadPoint("concurrency", None, 9, concurrency=1).slug == "concurrency_1_r0"
    assert LoadPoint("ramp", 2.0, 9, ramp_rps=(0.5, 3.5)).slug == "ramp_0.5to3.5rps_r0"
    assert LoadPoint("trace", 0.7, 9, trace_sha256="ab", trace_speed=2.0).slug == "trace_2x_r0"
    assert LoadPoint("capacity", 2.0, 9, 1, probe=3).slug == "capacity_2rps_r1_p3"


def test_a_sweep_measures_every_profile_in_every_repeat(tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"timestamp": 0, "input_length": 9, "output_length": 3}\n' * 2)
    load = LoadPoints(rates_rps=[1.0, 2.0], concurrencies=[4], ramp_rps=[1, 3], trace=str(trace), repeats=2)
    load.capacity.probes = 8
    points = load_points(load, dataclasses.replace(CHAT, slo={"itl_ms_p99": 50}))
    once = ["single_stream", "throughput", "concurrency_4", "server_1rps", "server_2rps", "ramp_1to3rps", "trace_1x"]
    once.append("capacity")
    assert [p.slug for p in points] == [f"{name}_r{repeat}" for repeat in (0, 1) for name in once]
    assert {p.profile for p in points} == set(PROFILES)
    flights = {"single_stream": 1, "concurrency": 4}
    assert all(p.concurrency == flights.get(p.profile) for p in points)


def test_the_ladder_may_have_fewer_or_more_repeats_than_the_other_points():
    load = LoadPoints(rates_rps=[1.0], repeats=2, rate_repeats=1)
    once = ["single_stream_r0", "throughput_r0", "server_1rps_r0"]
    assert [p.slug for p in load_points(load, CHAT)] == [*once, "single_stream_r1", "throughput_r1"]
    load = dataclasses.replace(load, repeats=1, rate_repeats=2)
    assert [p.slug for p in load_points(load, CHAT)] == [*once, "server_1rps_r1"]


def test_a_profile_without_requests_is_left_out():
    load = LoadPoints(single_stream_requests=0, throughput_requests=0, rates_rps=[])
    assert load_points(load, CHAT) == []


@pytest.mark.parametrize(("rate", "requests"), [(0.1, 32), (1.0, 60), (2.5, 150), (100.0, 2000)])
def test_requests_of_a_rate_are_duration_times_rate_within_bounds(rate, requests):
    load = LoadPoints(single_stream_requests=0, throughput_requests=0, rates_rps=[rate])
    assert [(p.rate_rps, p.requests) for p in load_points(load, CHAT)] == [(rate, requests)]


def test_a_scenario_has_its_own_ladder():
    scenario = dataclasses.replace(CHAT, rates_rps=[0.25])
    assert [p.rate_rps for p in load_points(LoadPoints(), scenario)] == [None, None, 0.25]
    assert [p.rate_rps for p in load_points(LoadPoints(), dataclasses.replace(CHAT, rates_rps=[]))] == [None, None]


def test_capacity_needs_an_objective_and_probes():
    def measured(probes: int, slo: dict[str, float]) -> bool:
        load = LoadPoints(capacity=CapacitySearch(probes=probes))
        return "capacity" in {p.profile for p in load_points(load, dataclasses.replace(CHAT, slo=slo))}

    assert measured(8, {"ttft_ms_p99": 300})
    assert not measured(8, {})
    assert not measured(0, {"ttft_ms_p99": 300})


def test_a_ramp_lasts_as_long_as_asked():
    (point,) = load_points(LoadPoints(0, 0, rates_rps=[], ramp_rps=[1.0, 4.0], duration_s=100), CHAT)
    assert (point.requests, point.rate_rps, point.ramp_rps) == (250, 2.5, (1.0, 4.0))


def test_a_replay_is_as_long_as_its_file_or_max_requests(tmp_path):
    trace = tmp_path / "trace.csv"
    rows = [f"2023-11-16 18:15:{second:02},10,5" for second in range(0, 50, 10)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    load = LoadPoints(0, 0, rates_rps=[], trace=str(trace), trace_speed=2.0, min_requests=1)
    (whole,) = load_points(load, CHAT)
    (part,) = load_points(dataclasses.replace(load, max_requests=3), CHAT)
    assert (whole.requests, part.requests) == (5, 3)
    assert whole.rate_rps == 0.25
    assert PROFILES["trace"].send_times(part, load, 0) == [0.0, 5.0, 10.0]


REFUSED = [
    (LoadPoints(rates_rps=[0.0]), "rates_rps.*above 0"),
    (LoadPoints(rates_rps=[float("nan")]), "rates_rps.*above 0"),
    (LoadPoints(rates_rps=[1.0, 1.0]), "twice, server_1rps_r0"),
    (LoadPoints(min_requests=10, max_requests=5), "min_requests"),
    (LoadPoints(duration_s=0), "duration_s"),
    (LoadPoints(repeats=0), "repeats"),
    (LoadPoints(rate_repeats=0), "rate_repeats: at least 1"),
    (LoadPoints(arrivals="poison"), "did you mean 'poisson'"),
    (LoadPoints(arrivals="gamma", burstiness=0.0), "burstiness.*above 0"),
    (LoadPoints(burstiness=0.5), "no meaning for poisson.*load.arrivals=gamma"),
    (LoadPoints(concurrencies=[0]), "at least 1"),
    (LoadPoints(concurrencies=[256]), "concurrency_requests is 128; set it to a multiple of 256"),
    (LoadPoints(ramp_rps=[1.0]), "two request rates"),
    (LoadPoints(ramp_rps=[1.0, -2.0]), "above 0, got 1, -2"),
    (LoadPoints(trace="nowhere.csv"), "no file nowhere.csv"),
    (LoadPoints(capacity=CapacitySearch(probes=-1)), "probes"),
    (LoadPoints(capacity=CapacitySearch(probes=8, min_rps=5, max_rps=5)), "min_rps 5 must be below max_rps 5"),
    (LoadPoints(capacity=CapacitySearch(probes=8, min_rps=0)), "load.capacity.*above 0"),
    (LoadPoints(capacity=CapacitySearch(probes=8, precision=3)), "precision"),
]


@pytest.mark.parametrize(("load", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_impossible_settings_are_refused(load, words):
    with pytest.raises(ConfigError, match=words):
        load_points(load, dataclasses.replace(CHAT, slo={"itl_ms_p99": 50}))


def test_what_a_replay_cannot_keep_is_refused(tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"timestamp": 0, "input_length": 9, "output_length": 3, "hash_ids": [1]}\n')
    load = LoadPoints(trace=str(trace))
    for change, words in ({"turns": 2}, "turns"), ({"shared_prefix_tokens": 5}, "shared prefix"):
        with pytest.raises(ConfigError, match=words):
            load_points(load, dataclasses.replace(CHAT, **change))
    with pytest.raises(ConfigError, match="send_as: ids"):
        load_points(load, dataclasses.replace(CHAT, send_as="text"))
    with pytest.raises(ConfigError, match="trace_speed"):
        load_points(dataclasses.replace(load, trace_speed=0), CHAT)


def test_seeds_are_stable_and_differ_with_everything_that_names_the_traffic():
    assert derive_seed(0, "chat", "server_2rps_r0", "prompts") == 5805485998181317116
    point = LoadPoint("server", 2.0, 10)
    seeds = {
        traffic_seed(point, 0, "chat", "prompts"),
        traffic_seed(point, 0, "chat", "arrivals"),
        traffic_seed(point, 1, "chat", "prompts"),
        traffic_seed(point, 0, "rag", "prompts"),
        traffic_seed(dataclasses.replace(point, repeat=1), 0, "chat", "prompts"),
        traffic_seed(dataclasses.replace(point, rate_rps=4.0), 0, "chat", "prompts"),
        traffic_seed(dataclasses.replace(point, arrivals="constant"), 0, "chat", "prompts"),
        traffic_seed(dataclasses.replace(point, probe=1), 0, "chat", "prompts"),
    }
    assert len(seeds) == 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slo": {"itl_ms_p99": -1.0}}, "slo.itl_ms_p99: a limit is a number above 0, got -1"),
        ({"tiers": {"batch": {"e2e_p95": 1.0}}}, "tiers.batch.e2e_p95: no such limit; did you mean 'e2e_ms_p95'"),
    ],
)
def test_an_slo_that_cannot_be_is_named(changes, said):
    load = LoadPoints(capacity=CapacitySearch(probes=8))
    with pytest.raises(ConfigError, match=said):
        load_points(load, dataclasses.replace(CHAT, **changes))
