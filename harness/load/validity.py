"""Whether a load cell's numbers can be trusted: the flags that travel with them.

Each threshold stands beside its reason. `invalid` is kept for what makes the cell's main figures wrong; `caution`
for what a careful reader must know.
"""

from typing import Any

from harness.load.metrics import Sample
from harness.records import Flag

LAG_FLOOR_MS = 10.0
LAG_SHARE = 0.10
FAILED_SHARE = 0.05
MERGED_SHARE = 0.01
CACHE_SHARE = 0.05
P99_REQUESTS = 100


def flags(result: dict[str, Any], samples: list[Sample], *, profile: str, expected_hit_rate: float = 0.0) -> list[Flag]:
    """`result` is a finished one: summarize's, with event_loop_lag_ms_p99 and prefix_cache_hit_rate (or None)."""
    found = [
        *_client_lag(result, profile),
        *_errors(result),
        *_cut_short(result),
        *_token_mismatch([s for s in samples if s.completed]),
        *_merged(result),
        *_prefix_cache(result, expected_hit_rate),
    ]
    if result["requests_completed"] < P99_REQUESTS:
        found.append(
            Flag(
                "few_samples",
                "note",
                f"p99 of TTFT, TPOT and E2E over {result['requests_completed']} requests is close to their maximum",
            )
        )
    return found


def _client_lag(result: dict[str, Any], profile: str) -> list[Flag]:
    """A late send corrupts what counts from the intended time, and the arrival process: at a rate, TTFT.

    Invalid above max(10 ms, 10 % of the median TTFT). With everything sent at once there is no arrival process, and
    the lag is a small ramp of the batch: invalid above 10 % of the duration. Token gaps do not depend on sends; with
    user-space stamps they depend on the event loop, hence the caution above 10 % of the median ITL.
    """
    found = []
    if profile == "throughput":
        limit_ms = LAG_SHARE * 1e3 * (result["duration_s"] or 0.0)
    else:
        limit_ms = LAG_SHARE * (result["ttft_ms_p50"] or 0.0)
    limit_ms = max(LAG_FLOOR_MS, limit_ms)
    lag_ms = result["send_lag_ms_p99"]
    if lag_ms is not None and lag_ms > limit_ms:
        message = f"the client sent late: p99 {lag_ms:.1f} ms, limit {limit_ms:.1f} ms; TTFT is not the server's alone"
        found.append(Flag("client_lag", "invalid", message))
    loop_ms, itl_ms = result.get("event_loop_lag_ms_p99"), result["itl_ms_p50"]
    user_stamps = result["timestamps"] not in ("kernel", None)
    if user_stamps and loop_ms is not None and itl_ms is not None and loop_ms > max(1.0, LAG_SHARE * itl_ms):
        message = f"user-space time stamps and an event loop {loop_ms:.1f} ms late at p99: token times are smeared"
        found.append(Flag("event_loop_lag", "caution", message))
    return found


def _errors(result: dict[str, Any]) -> list[Flag]:
    """Only completed requests are in the figures: above 5 % failed they describe another load than the one asked."""
    failed, sent = result["requests_failed"], result["requests_sent"]
    if not failed:
        return []
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(result["errors"].items()))
    level = "invalid" if failed > FAILED_SHARE * sent else "caution"
    return [Flag("errors", level, f"{failed} of {sent} requests failed ({kinds}) and are not in the figures")]


def _cut_short(result: dict[str, Any]) -> list[Flag]:
    """What the cell's time-out cuts off are its slowest requests: the figures of the rest are too good."""
    cancelled, unsent = result["requests_cancelled"], result["requests_unsent"]
    if not cancelled and not unsent:
        return []
    message = f"the cell ran out of time: {cancelled} requests cancelled, {unsent} never sent"
    return [Flag("cell_timeout", "invalid", message)]


def _token_mismatch(completed: list[Sample]) -> list[Flag]:
    """Another length is another workload. Token counts are the server's."""
    found = []
    unknown = sum(s.completion_tokens is None for s in completed)
    if unknown:
        message = f"{unknown} responses without usage: tokens were counted by events and not checked"
        found.append(Flag("no_usage", "caution", message))
    wrong = [
        s
        for s in completed
        if s.completion_tokens not in (None, s.asked_output_tokens)
        or s.prompt_tokens not in (None, s.asked_prompt_tokens)
    ]
    if wrong:
        s = wrong[0]
        level = "invalid" if len(wrong) > FAILED_SHARE * len(completed) else "caution"
        message = (
            f"{len(wrong)} of {len(completed)} requests had other token counts than asked, the first "
            f"{s.prompt_tokens}/{s.completion_tokens} instead of {s.asked_prompt_tokens}/{s.asked_output_tokens}"
        )
        found.append(Flag("token_mismatch", level, message))
    return found


def _merged(result: dict[str, Any]) -> list[Flag]:
    """Gaps of 0 that are not the engine's, when over 1 % of the gaps: the low percentiles of ITL suffer first."""
    found = []
    events, tokens = result["token_events"], result["completion_tokens"]
    if result["merged_events"] > MERGED_SHARE * events:
        message = f"{result['merged_events']} of {events} token events came in one read with another and share its time"
        found.append(Flag("merged_reads", "caution", message))
    if tokens - events > MERGED_SHARE * tokens:
        message = f"the server sent {tokens} tokens in {events} events: ITL is between events, TPOT per token"
        found.append(Flag("merged_tokens", "caution", message))
    return found


def _prefix_cache(result: dict[str, Any], expected_hit_rate: float) -> list[Flag]:
    """Prompts are fresh, so hits beyond the shared prefix mean work that the server did not do."""
    rate = result.get("prefix_cache_hit_rate")
    if rate is None or rate <= expected_hit_rate + CACHE_SHARE:
        return []
    message = f"{rate:.0%} of prompt tokens came from the prefix cache, {expected_hit_rate:.0%} are shared by design"
    return [Flag("prefix_cache_hits", "caution", message)]
