from harness.load.server_metrics import between, counters

TEXT = """# HELP vllm:prefix_cache_queries_total Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1000.0
vllm:prefix_cache_queries_total{engine="1",model_name="m"} 500.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 3e+2
vllm:prefix_cache_hits_created{engine="0"} 1.7e+09
vllm:num_preemptions_total{model_name="m"} nonsense
process_cpu_seconds_total 12
"""


def test_counters_are_summed_over_their_labels():
    assert counters(TEXT) == {"prefix_cache_queries": 1500.0, "prefix_cache_hits": 300.0}
    assert counters("<html>not found</html>") == {}


def test_the_hit_rate_is_of_what_happened_between_two_scrapes():
    after = {"prefix_cache_queries": 2000.0, "prefix_cache_hits": 400.0, "preemptions": 2.0}
    assert between(after | {"prefix_cache_queries": 1500.0, "prefix_cache_hits": 300.0}, after) == {
        "prefix_cache_hit_rate": 0.2,
        "preemptions": 0.0,
    }


def test_absence_is_absent():
    nothing = {"prefix_cache_hit_rate": None, "preemptions": None}
    assert between({}, {}) == nothing
    assert between({"prefix_cache_queries": 5.0, "prefix_cache_hits": 1.0}, {}) == nothing
    same = {"prefix_cache_queries": 5.0, "prefix_cache_hits": 1.0}
    assert between(same, same)["prefix_cache_hit_rate"] is None
    assert between({"preemptions": 9.0}, {"preemptions": 1.0}) == nothing  # restarted
