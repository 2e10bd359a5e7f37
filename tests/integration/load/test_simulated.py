"""Conversations, traces and the capacity search against the simulated engine: a server whose answers are known."""

import itertools
from pathlib import Path

import pytest

from harness.config.workloads import CapacitySearch, LoadPoints, Scenario
from harness.engines import Deployment
from harness.engines.simulated.engine import Simulated, SimulatedConfig
from harness.errors import CellError
from harness.loadgen.bench import Bench
from harness.loadgen.capacity_cell import Begun
from harness.loadgen.measure import measure
from harness.loadgen.profiles import load_points
from harness.loadgen.traffic.requests import Traffic
from harness.records.kept_probes import KeptProbes
from harness.records.point import LoadPoint
from harness.selftest.checks import known_server


@pytest.fixture
def known(tmp_path):
    with known_server(2.0, tmp_path / "log") as server:
        yield server


def serving(log: Path, **options):
    """Llama 3.1 8B in FP8 on a simulated H100."""
    config = SimulatedConfig(schemes={"m": "fp8"}, seed=1, **options)
    return Simulated(config, log.parent).serve(Deployment("m", "m"), log)


def test_a_conversation_resends_all_that_was_said(known, tokenizer, prose_file):
    scenario = Scenario(prompt_tokens=40, output_tokens=8, text=prose_file, turns=3, turn_tokens=10, think_s=0.05)
    load = LoadPoints(request_timeout_s=10.0, cell_timeout_s=30.0)
    outcome = measure(Bench(known, tokenizer, Traffic("chat", scenario, load, 0)), LoadPoint("server", 20.0, 4))
    rows = list(outcome.rows)
    assert [row["turn"] for row in rows] == [0, 1, 2] * 4
    # the server counts the ids that it was sent: the first prompt, and what every turn before has added
    assert [row["prompt_tokens"] for row in rows] == [40, 58, 76] * 4
    for earlier, later in itertools.pairwise(rows):
        if later["turn"]:
            assert later["intended_s"] == pytest.approx(earlier["end_s"] + 0.05, abs=1e-3)
    assert "token_mismatch" not in {flag.code for flag in outcome.flags}
    assert outcome.result.requests_completed == 12


def test_a_server_without_token_ids_cannot_continue_a_conversation(scripted, tokenizer, prose_file):
    scenario = Scenario(prompt_tokens=40, output_tokens=5, text=prose_file, turns=2, turn_tokens=10)
    point, load = LoadPoint("throughput", None, 2), LoadPoints(cell_timeout_s=20.0)
    with pytest.raises(CellError, match="no token ids of its answers"):
        measure(Bench(scripted.server, tokenizer, Traffic("chat", scenario, load, 0)), point)


def test_a_trace_is_replayed_with_its_lengths(known, tokenizer, prose_file, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.0000000,30,4\n2023-11-16 18:15:46.3000000,50,6\n2023-11-16 18:15:46.5000000,20,2\n"
    )
    scenario = Scenario(prompt_tokens=1, output_tokens=1, text=prose_file)
    load = LoadPoints(0, 0, rates_rps=[], trace=str(trace), trace_speed=2.0)
    (point,) = load_points(load, scenario)
    outcome = measure(Bench(known, tokenizer, Traffic("replayed", scenario, load, 0)), point)
    rows = list(outcome.rows)
    assert [(row["prompt_tokens"], row["completion_tokens"]) for row in rows] == [(30, 4), (50, 6), (20, 2)]
    assert [row["intended_s"] for row in rows] == pytest.approx([0.0, 0.15, 0.25])


def test_a_capacity_is_searched_on_a_server_with_a_knee(tokenizer, prose_file, tmp_path):
    """Two places for requests of 10 steps of 4 ms: some 50 requests/s can be served, and TTFT says so."""
    with serving(tmp_path / "log", max_num_seqs=2) as server:
        scenario = Scenario(prompt_tokens=256, output_tokens=10, text=prose_file, slo={"ttft_ms_p99": 200.0})
        search = CapacitySearch(probes=4, requests=60, duration_s=1.0, min_rps=1.0, max_rps=400.0)
        load = LoadPoints(0, 0, rates_rps=[], capacity=search, request_timeout_s=20.0, cell_timeout_s=40.0)
        (point,) = load_points(load, scenario)
        outcome = measure(Bench(server, tokenizer, Traffic("tiny", scenario, load, 0)), point)
    result, rows = outcome.result.to_json(), list(outcome.rows)
    assert len(result["probes"]) <= 4
    served = max(probe["achieved_rps"] for probe in result["probes"] if probe["achieved_rps"])
    assert result["capacity_limited_by"] == "ttft"
    assert result["capacity_rps"] == pytest.approx(served, rel=0.5)
    assert result["capacity_rps_low"] <= result["capacity_rps"] <= result["capacity_rps_high"]
    assert {row["probe"] for row in rows} == set(range(len(result["probes"])))
    assert len({probe["rate_rps"] for probe in result["probes"]}) > 1
    assert result["slo"] == {"ttft_ms_p99": 200.0}


def test_an_interrupted_search_goes_on_from_its_finished_probes(tokenizer, prose_file, tmp_path):
    scenario = Scenario(prompt_tokens=64, output_tokens=5, text=prose_file, slo={"ttft_ms_mean": 100.0})
    search = CapacitySearch(probes=4, requests=40, duration_s=0.5, min_rps=1.0, max_rps=400.0, precision=0.001)
    load = LoadPoints(0, 0, rates_rps=[], capacity=search)
    (point,) = load_points(load, scenario)
    kept, said = KeptProbes(tmp_path), []

    def keep_two(probe, rows):
        kept.keep("cell", probe, rows)
        if probe.number == 1:
            raise KeyboardInterrupt

    with serving(tmp_path / "log", max_num_seqs=2) as server:
        bench = Bench(server, tokenizer, Traffic("tiny", scenario, load, 0))
        with pytest.raises(KeyboardInterrupt):
            measure(bench, point, say=said.append, begun=Begun((), keep_two))
        first = kept.read("cell")
        again = Begun(first, lambda probe, rows: kept.keep("cell", probe, rows))
        outcome = measure(bench, point, say=said.append, begun=again)
    probes, rows = outcome.result.probes, list(outcome.rows)
    assert len(first) == 2 and [p.rate_rps for p in probes[:2]] == [one.rate_rps for one, _ in first]
    assert [r["token_s"] for r in rows if r["probe"] == 0] == [r["token_s"] for r in first[0][1]], "not sent again"
    assert {row["probe"] for row in rows} == set(range(len(probes)))
    assert [line.endswith("measured earlier") for line in said[-len(probes) :]][:3] == [True, True, False]
    assert "2 of 4 probes" in next(flag.message for flag in outcome.flags if flag.code == "search_resumed")
    assert outcome.result.capacity_limited_by == "ttft_ms_mean"


def test_a_capacity_beyond_the_bounds_is_said(tokenizer, prose_file, tmp_path):
    scenario = Scenario(prompt_tokens=64, output_tokens=5, text=prose_file, slo={"itl_ms_p99": 500.0})
    search = CapacitySearch(probes=4, requests=200, duration_s=1.0, min_rps=10.0, max_rps=100.0)
    load = LoadPoints(0, 0, rates_rps=[], capacity=search)
    (point,) = load_points(load, scenario)
    with serving(tmp_path / "log") as server:
        outcome = measure(Bench(server, tokenizer, Traffic("tiny", scenario, load, 0)), point)
    assert (outcome.result.capacity_status, outcome.result.capacity_rps) == (
        "not_reached",
        100.0,
    )
