import dataclasses

import numpy as np
import pytest

from harness.config.slo import Slo
from harness.loadgen.client.trace import Failure
from harness.loadgen.flags import flags
from harness.loadgen.metrics import summarize
from harness.records.load_result import LoadResult
from harness.records.point import LoadPoint
from tests.unit.load.samples import made, steady_cell

ALL_AT_ONCE = LoadPoint("throughput", None, 200)
ONE_AT_A_TIME = LoadPoint("single_stream", None, 200, concurrency=1)
FIRST = made(0, 0.0, 0.002, [0.1, 0.2, 0.4], connect_s=0.001)
MANY = [dataclasses.replace(FIRST, index=n) for n in range(200)]
FAILED = made(200, 1.5, 1.501, [1.65], completion_tokens=None, error=Failure("reset", "gone"))
CANCELLED = dataclasses.replace(FAILED, error=Failure("cancelled", "time"))
UNSENT = made(200, 3.0, None, [], completion_tokens=None)


def verdict(samples, point=ONE_AT_A_TIME, expected_hit_rate=0.0, **changes):
    stored = {**summarize(samples, point=point, slo=Slo.of()).to_json(), "event_loop_lag_ms_p99": 0.2, **changes}
    found = flags(LoadResult.from_json(stored), samples, point=point, expected_hit_rate=expected_hit_rate, workers=2)
    return {flag.code: flag.level for flag in found}


def test_a_clean_cell_has_no_flags():
    assert verdict(MANY) == {}
    at_rate = steady_cell(rate_rps=10.0, requests=200, tokens=5, gap_s=0.1)
    assert verdict(at_rate, LoadPoint("server", 10.0, 200)) == {}


def test_few_requests_have_no_p99():
    assert verdict(MANY[:99]) == {"few_samples": "note"}


def test_late_sends_invalidate_a_rate():
    late = [dataclasses.replace(s, sent_s=0.02) for s in MANY]  # 19 ms, limit max(10, 10 % of 100) ms
    assert verdict(late) == {"client_lag": "invalid"}
    slow_server = [dataclasses.replace(s, token_s=np.array([1.0, 1.1, 1.2])) for s in late]
    assert verdict(slow_server) == {}
    assert verdict(late, ALL_AT_ONCE) == {}


def test_a_short_stall_is_told_though_p99_does_not_see_it():
    assert verdict(MANY, event_loop_lag_ms_max=200.0) == {"client_stall": "caution"}
    assert verdict(MANY, event_loop_lag_ms_max=60.0) == {}


def test_a_client_that_cannot_keep_its_rate_is_invalid_and_a_server_that_cannot_is_a_finding():
    point = LoadPoint("server", 10.0, 200)
    samples = steady_cell(rate_rps=10.0, requests=200, tokens=5, gap_s=0.1)
    drifting = [dataclasses.replace(s, sent_s=1.05 * s.intended_s) for s in samples]
    assert verdict(drifting, point) == {"rate_not_offered": "invalid", "client_lag": "invalid"}
    slow_accept = [dataclasses.replace(s, sent_s=1.05 * s.intended_s, connect_s=0.05 * s.intended_s) for s in samples]
    assert "rate_not_offered" not in verdict(slow_accept, point)
    queueing = [dataclasses.replace(s, token_s=1.5 * s.token_s) for s in samples]
    assert verdict(queueing, point) == {"saturated": "note"}


def test_a_busy_client_measures_itself():
    assert verdict(MANY, client_cpu_share_max=0.5) == {}
    assert verdict(MANY, client_cpu_share_max=0.85) == {"client_cpu": "caution"}
    assert verdict(MANY, client_cpu_share_max=0.97) == {"client_cpu": "invalid"}


def test_user_space_stamps_are_declared_and_judged_by_the_event_loop():
    user = [dataclasses.replace(s, kernel_stamps=False) for s in MANY]
    assert verdict(user) == {"user_timestamps": "note"}
    assert verdict(user, event_loop_lag_ms_p99=16.0) == {"user_timestamps": "note", "event_loop_lag": "caution"}
    assert verdict(MANY, event_loop_lag_ms_p99=16.0) == {}


def test_failures_are_a_caution_and_from_five_percent_invalid():
    assert verdict([*MANY, FAILED]) == {"errors": "caution"}
    assert verdict([*MANY, *[FAILED] * 11]) == {"errors": "invalid"}


def test_connections_that_cost_the_requests_time():
    connecting = [dataclasses.replace(s, sent_s=0.03, connect_s=0.03) for s in MANY]
    assert verdict(connecting) == {"slow_connections": "caution"}


def test_a_cell_cut_short_is_invalid():
    assert verdict([*MANY, CANCELLED]) == {"cell_timeout": "invalid"}
    assert verdict([*MANY, UNSENT]) == {"cell_timeout": "invalid"}


def test_turns_after_a_failure_are_not_the_time_out():
    dropped = made(201, 0.0, None, [], turn=1, completion_tokens=None)
    assert verdict([*MANY, FAILED, dropped]) == {"errors": "caution", "turns_dropped": "caution"}
    broken = dataclasses.replace(dropped, error=Failure("no_token_ids", "the server gave none"))
    pairs = [s for n in range(200) for s in (MANY[n], broken)]
    assert verdict(pairs) == {"turns_dropped": "invalid"}


def test_other_token_counts_than_asked():
    short = dataclasses.replace(FIRST, completion_tokens=2, token_s=np.array([0.1, 0.2]))
    assert verdict([*MANY, short]) == {"token_mismatch": "caution"}
    longer_prompt = [dataclasses.replace(s, prompt_tokens=11) for s in MANY]
    assert verdict(longer_prompt) == {"token_mismatch": "invalid"}
    assert verdict([dataclasses.replace(s, completion_tokens=None) for s in MANY]) == {"no_usage": "caution"}


@pytest.mark.parametrize(("prompt_tokens", "mismatches"), [(9, 1), (10, 2)])
def test_a_later_prompt_is_as_long_as_the_answers_were(prompt_tokens, mismatches):
    """The first answer came out one token short, so the second prompt must be too."""
    short = dataclasses.replace(FIRST, index=200, completion_tokens=2, token_s=np.array([0.1, 0.2]))
    later = made(201, 0.5, 0.5, [0.6, 0.7, 0.8], turn=1, prompt_tokens=prompt_tokens)
    samples = [*MANY, short, later]
    found = flags(
        summarize(samples, point=ONE_AT_A_TIME, slo=Slo.of()), samples, point=ONE_AT_A_TIME, expected_hit_rate=0.0
    )
    assert [flag.message.split()[0] for flag in found if flag.code == "token_mismatch"] == [str(mismatches)]


def test_merges_are_told():
    assert verdict([dataclasses.replace(s, merged_events=1) for s in MANY]) == {"merged_reads": "caution"}
    two_in_one = [dataclasses.replace(s, token_s=np.array([0.1, 0.4])) for s in MANY]
    assert verdict(two_in_one) == {"merged_tokens": "caution"}


def test_prefix_cache_hits_beyond_the_shared_prefix():
    assert verdict(MANY, prefix_cache_hit_rate=0.2) == {"prefix_cache_hits": "caution"}
    assert verdict(MANY, prefix_cache_hit_rate=0.2, expected_hit_rate=0.25) == {}


def test_the_server_must_have_generated_what_was_received():
    assert verdict(MANY, server_generation_tokens=600.0) == {}
    assert verdict(MANY, server_generation_tokens=605.0) == {}
    assert verdict(MANY, server_generation_tokens=610.0) == {"server_disagrees": "caution"}
    assert verdict(MANY, server_generation_tokens=590.0) == {"server_disagrees": "caution"}
    ended_early = [*MANY, *[FAILED] * 10]  # one token received of three asked, each
    assert verdict(ended_early, server_generation_tokens=630.0) == {"errors": "caution"}


def test_preemptions_are_noted():
    assert verdict(MANY, preemptions=3.0) == {"preemptions": "note"}
    assert verdict(MANY, preemptions=0.0) == {}
