import itertools
import threading
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.engines import Server, metric_names
from harness.loadgen import server_metrics
from harness.loadgen.server_metrics import COUNTERS, GAUGES, MAX_SERIES, Watched, between, watch
from harness.records.load_result import ServerFigures

parse = partial(server_metrics.parse, names=metric_names.KNOWN)

TEXT = """# HELP vllm:prefix_cache_queries_total Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1000.0
vllm:prefix_cache_queries_total{engine="1",model_name="m"} 500.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 3e+2
vllm:prefix_cache_hits_created{engine="0"} 1.7e+09
vllm:num_preemptions_total{model_name="m"} nonsense
vllm:num_requests_running{engine="0"} 3.0
vllm:num_requests_running{engine="1"} 4.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.5
process_cpu_seconds_total 12
"""
NOTHING = ServerFigures()


def test_speculative_decoding_is_told_by_what_was_drafted_and_accepted():
    def exported(*values: int) -> dict[str, float]:
        names = [
            f'{name}_total{{engine="{e}"}}' for name in ("drafts", "draft_tokens", "accepted_tokens") for e in "01"
        ]
        return parse("\n".join(f"vllm:spec_decode_num_{n} {v}" for n, v in zip(names, values, strict=True)))

    before, after = exported(10, 10, 40, 40, 5, 5), exported(20, 40, 80, 160, 15, 65)
    found = between(before, after)
    whole = between(before | {"generation_tokens": 0.0}, after | {"generation_tokens": 700.0})
    assert whole.drafted_share == 0.1 and found.drafted_share is None
    assert found.draft_acceptance_rate == 70 / 160 and found.tokens_per_draft == 1 + 70 / 40
    assert between(before, before) == NOTHING, "nothing was drafted"


def test_metrics_are_summed_over_their_labels_and_the_fullest_cache_counts():
    assert parse(TEXT) == {
        "prefix_cache_queries": 1500.0,
        "prefix_cache_hits": 300.0,
        "running": 7.0,
        "kv_cache_use": 0.5,
    }
    assert parse("<html>not found</html>") == {}


def test_every_exported_name_is_of_a_quantity_that_is_read():
    assert set(metric_names.KNOWN.values()) == {*COUNTERS, *GAUGES}


def test_other_engines_names():
    assert parse("sglang:num_queue_reqs 2\nsglang:token_usage 0.1\n") == {"waiting": 2.0, "kv_cache_use": 0.1}
    assert parse("llamacpp:tokens_predicted_total 5\n") == {"generation_tokens": 5.0}


def test_sglang_counts_cached_tokens_of_all_prompt_tokens():
    before = parse("sglang:prompt_tokens_total 100\nsglang:cached_tokens_total 0\n")
    after = parse("sglang:prompt_tokens_total 500\nsglang:cached_tokens_total 100\n")
    assert between(before, after).prefix_cache_hit_rate == 0.25


def test_llama_cpp_counts_cached_tokens_beside_those_that_it_computes():
    before = parse("llamacpp:prompt_tokens_total 10\nllamacpp:prompt_tokens_cached_total 0\n")
    after = parse("llamacpp:prompt_tokens_total 40\nllamacpp:prompt_tokens_cached_total 10\n")
    seen = between(before, after)
    assert seen.prefix_cache_hit_rate == 0.25 and seen.server_prompt_tokens == 40


def test_the_hit_rate_is_of_what_happened_between_two_scrapes():
    before = {"prefix_cache_queries": 1500.0, "prefix_cache_hits": 300.0, "preemptions": 2.0, "generation_tokens": 10.0}
    after = {"prefix_cache_queries": 2000.0, "prefix_cache_hits": 400.0, "preemptions": 2.0, "generation_tokens": 60.0}
    changed = {"prefix_cache_hit_rate": 0.2, "preemptions": 0.0, "server_generation_tokens": 50.0}
    assert between(before, after) == replace(NOTHING, **changed)


def test_absence_is_absent():
    assert between({}, {}) == NOTHING
    assert between({"prefix_cache_queries": 5.0, "prefix_cache_hits": 1.0}, {}) == NOTHING
    same = {"prefix_cache_queries": 5.0, "prefix_cache_hits": 1.0}
    assert between(same, same).prefix_cache_hit_rate is None
    assert between({"preemptions": 9.0}, {"preemptions": 1.0}) == NOTHING  # restarted


def test_a_long_cell_keeps_a_bounded_series_of_its_whole_length():
    watched = Watched({})
    for second in range(5000):
        watched.saw(float(second), {"running": float(second % 50)})
    series = watched.summary().server_series
    assert MAX_SERIES / 4 < len(series) < MAX_SERIES
    assert series[0][0] < 20 and series[-1][0] > 4900
    steps = [b[0] - a[0] for a, b in itertools.pairwise(series)]
    assert max(steps) <= 2 * min(steps)


@pytest.fixture
def exporter():
    """A server whose gauge and counter rise with every scrape."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            body = f"vllm:num_requests_running {len(seen)}\nvllm:generation_tokens_total {100 * len(seen)}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Server(f"http://127.0.0.1:{server.server_port}", "m"), seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_watch_polls_while_the_cell_runs_and_ends_with_it(exporter, monkeypatch):
    server, seen = exporter
    monkeypatch.setattr(server_metrics, "POLL_S", 0.01)
    enough = threading.Event()
    with watch(server) as watched:
        while len(seen) < 5:
            enough.wait(0.01)
    found, scrapes = watched.summary(), len(seen)
    assert found.server_running_max == scrapes
    assert found.server_generation_tokens == 100 * (scrapes - 1)
    assert found.server_waiting_max is None
    assert [point[1] for point in found.server_series] == sorted(point[1] for point in found.server_series)
    assert not any(thread.name == "server-metrics" for thread in threading.enumerate())


def test_a_server_without_metrics_is_watched_in_vain():
    with watch(Server("http://127.0.0.1:9", "m")) as watched:
        pass
    found = watched.summary()
    assert found.server_series == () and found.server_running_max is None
    assert found == NOTHING


def test_what_the_cell_raises_comes_through(exporter):
    server, _ = exporter
    with pytest.raises(ZeroDivisionError), watch(server):
        raise ZeroDivisionError
    assert not any(thread.name == "server-metrics" for thread in threading.enumerate())


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-5", "nonsense", "9" * 5000, "", "1e999"])
def test_values_that_are_no_numbers_are_left_out_and_named(value):
    dropped = set()
    text = f'vllm:generation_tokens_total{{engine="0"}} {value}\nvllm:generation_tokens_total{{engine="1"}} 7\n'
    assert parse(text, dropped=dropped) == {"generation_tokens": 7.0}
    assert dropped == {"vllm:generation_tokens_total"}
    assert Watched({}, dropped).summary().server_metrics_dropped == ("vllm:generation_tokens_total",)


def test_a_sum_that_has_no_number_is_left_out():
    dropped = set()
    assert parse("vllm:num_requests_running 1e308\n" * 20, dropped=dropped)["running"] < float("inf")
    assert dropped


def test_time_stamps_and_labels_with_spaces_and_braces_are_no_values():
    text = 'vllm:num_requests_running{model_name="a } 5 {b"} 3 1395066363000\nvllm:num_requests_waiting 2 1395066363000'
    assert parse(text) == {"running": 3.0, "waiting": 2.0}
