import dataclasses
import subprocess
import sys

import pytest

from harness.config import LoadPoints, Scenario
from harness.errors import ConfigError
from harness.load import PROFILES, LoadPoint, derive_seed, load_points

CHAT = Scenario(prompt_tokens=512, output_tokens=256)


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, harness.load; print([m for m in ('numpy', 'aiohttp', 'transformers') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_slugs_name_profile_rate_and_repeat():
    assert LoadPoint("single_stream", None, 16).slug == "single_stream_r0"
    assert LoadPoint("server", 2.0, 120).slug == "server_2rps_r0"
    assert LoadPoint("server", 0.5, 30, 1).slug == "server_0.5rps_r1"


def test_a_sweep_measures_every_profile_in_every_repeat():
    points = load_points(LoadPoints(rates_rps=[1.0, 2.0], repeats=2), CHAT)
    once = ["single_stream", "throughput", "server_1rps", "server_2rps"]
    assert [p.slug for p in points] == [f"{name}_r{repeat}" for repeat in (0, 1) for name in once]
    assert {p.profile for p in points} == set(PROFILES)


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


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="above 0"):
        load_points(LoadPoints(rates_rps=[0.0]), CHAT)
    with pytest.raises(ConfigError, match="min_requests"):
        load_points(LoadPoints(min_requests=10, max_requests=5), CHAT)


def test_seeds_are_stable_and_differ_with_everything_that_names_the_traffic():
    assert derive_seed(0, "chat", "server_2rps_r0", "prompts") == 5805485998181317116
    point = LoadPoint("server", 2.0, 10)
    seeds = {
        point.seed(0, "chat", "prompts"),
        point.seed(0, "chat", "arrivals"),
        point.seed(1, "chat", "prompts"),
        point.seed(0, "rag", "prompts"),
        dataclasses.replace(point, repeat=1).seed(0, "chat", "prompts"),
        dataclasses.replace(point, rate_rps=4.0).seed(0, "chat", "prompts"),
    }
    assert len(seeds) == 6
