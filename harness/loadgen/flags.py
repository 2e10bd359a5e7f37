"""Whether a load cell's numbers can be trusted: the flags that travel with them.

Each threshold is beside its reason. `invalid` is kept for what makes the cell's main figures wrong; `caution`
for what a careful reader must know; `note` for a finding. Missing an SLO is a result and never a flag, and so is a
server that does not keep up with the offered rate; a client that does not is at fault, and its cell invalid.
"""

from harness.loadgen.client.oddities import ODDITIES
from harness.loadgen.client_flags import client_flags, connecting
from harness.loadgen.metrics import stretch
from harness.loadgen.samples import Sample, conversations
from harness.records.flag import Flag
from harness.records.load_result import LoadResult
from harness.records.point import LoadPoint

SATURATED = 1.05
FAILED_SHARE = 0.05
MERGED_SHARE = 0.01
CACHE_SHARE = 0.05
SERVER_SHARE = 0.01
IMPLAUSIBLE_SHARE = 0.01
TOKENIZER_SHARE = 0.02
P99_REQUESTS = 100


def flags(
    result: LoadResult,
    samples: list[Sample],
    *,
    point: LoadPoint,
    expected_hit_rate: float,
    workers: int = 1,
    exact_length: bool = True,
) -> list[Flag]:
    """`result` is a finished one: summarize's, with the client's own figures and the server's (records/load_result.py).

    `exact_length`: whether the server can be told how long an answer is to be.
    """
    sent = [s for s in samples if s.sent_s is not None]
    found = [
        *client_flags(result, sent, point, workers),
        *_errors(result),
        *_implausible(result),
        *connecting(result, sent),
        *_cut_short(result),
        *_dropped_turns(result),
        *_token_mismatch(samples, exact_length),
        *_tokenizer(samples),
        *_merged(result),
        *_saturated(result, samples, point),
        *_prefix_cache(result, expected_hit_rate),
        *_server_side(result, samples),
    ]
    if result.requests_completed < P99_REQUESTS:
        found.append(
            Flag(
                "few_samples",
                "note",
                f"p99 of TTFT, TPOT and E2E over {result.requests_completed} requests is close to their maximum",
            )
        )
    return found


def _implausible(result: LoadResult) -> list[Flag]:
    """What a server cannot mean is not averaged in silence. In up to 1 % of the requests it moves no percentile but the
    last."""
    counts, sent = dict(result.implausible), result.requests_sent
    if unasked := result.client.unasked_reads:
        counts["excess_bytes"] = counts.get("excess_bytes", 0) + unasked
    return [
        Flag(
            oddity,
            "invalid" if count > IMPLAUSIBLE_SHARE * sent else "caution",
            f"{count} of {sent} requests {ODDITIES[oddity]}",
        )
        for oddity, count in sorted(counts.items())
    ]


def _errors(result: LoadResult) -> list[Flag]:
    """Only completed requests are in the figures: above 5 % failed they describe another load than the one asked."""
    failed, sent = result.requests_failed, result.requests_sent
    if not failed:
        return []
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(result.errors.items()))
    level = "invalid" if failed > FAILED_SHARE * sent else "caution"
    return [Flag("errors", level, f"{failed} of {sent} requests failed ({kinds}) and are not in the figures")]


def _cut_short(result: LoadResult) -> list[Flag]:
    """What the cell's time-out cuts off are its slowest requests: the figures of the rest are too good."""
    cancelled, unsent = result.requests_cancelled, result.requests_unsent - result.turns_dropped
    if not cancelled and not unsent:
        return []
    message = f"the cell ran out of time: {cancelled} requests cancelled, {unsent} never sent"
    return [Flag("cell_timeout", "invalid", message)]


def _dropped_turns(result: LoadResult) -> list[Flag]:
    """A conversation that breaks off leaves its later turns, with the longest prompts, out of the load."""
    dropped = result.turns_dropped
    if not dropped:
        return []
    level = "invalid" if dropped > FAILED_SHARE * (result.requests_sent + dropped) else "caution"
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(result.errors.items()))
    return [Flag("turns_dropped", level, f"{dropped} later turns were not sent: an earlier one had failed ({kinds})")]


def _token_mismatch(samples: list[Sample], exact_length: bool) -> list[Flag]:
    """Another length is another workload. Token counts are the server's. A server that cannot be told the length ends
    an answer where its model does: two of them then carry loads that are alike, and not the same.
    """
    found = []
    completed = [s for s in samples if s.completed]
    unknown = sum(s.completion_tokens is None for s in completed)
    if unknown:
        message = f"{unknown} responses without usage: tokens were counted by events and not checked"
        found.append(Flag("no_usage", "caution", message))
    wrong = [pair for turns in conversations(samples) for pair in _mismatches(turns)]
    if wrong:
        s, prompt_tokens = wrong[0]
        level = "invalid" if exact_length and len(wrong) > FAILED_SHARE * len(completed) else "caution"
        message = (
            f"{len(wrong)} of {len(completed)} requests had other token counts than asked, the first "
            f"{s.prompt_tokens}/{s.completion_tokens} instead of {prompt_tokens}/{s.asked.output_tokens}"
        )
        message += "" if exact_length else "; this server's models end their answers themselves"
        found.append(Flag("token_mismatch", level, message))
    return found


def _tokenizer(samples: list[Sample]) -> list[Flag]:
    """Prompts that are sent as text or messages are counted by the server; our count tells whose tokenizer is ours."""
    counted = [s for s in samples if s.completed and not s.asked.counted and s.prompt_tokens]
    ours, servers = sum(s.asked.prompt_tokens for s in counted), sum(s.prompt_tokens or 0 for s in counted)
    if not counted or abs(ours / servers - 1) <= TOKENIZER_SHARE:
        return []
    message = (
        f"the server counts {servers} prompt tokens and the sweep's tokenizer {ours}: model is not what it serves, or "
        "has another chat template; lengths are the server's"
    )
    return [Flag("tokenizer_differs", "note", message)]


def _mismatches(turns: list[Sample]) -> list[tuple[Sample, int]]:
    """(request, prompt tokens expected): a later prompt is longer or shorter as the answers before it were."""
    found, surplus = [], 0
    for s in turns:
        expected = s.asked.prompt_tokens + surplus
        known = not s.asked.bounded and s.completion_tokens not in (None, s.asked.output_tokens)
        known = known or (s.asked.counted and s.prompt_tokens not in (None, expected))
        if s.completed and known:
            found.append((s, expected))
        surplus += s.output_tokens - s.asked.output_tokens
    return found


def _merged(result: LoadResult) -> list[Flag]:
    """Gaps of 0 that are not the engine's, when over 1 % of the gaps: the low percentiles of ITL suffer first."""
    found = []
    events, tokens = result.token_events, result.completion_tokens
    if result.merged_events > MERGED_SHARE * events:
        message = f"{result.merged_events} of {events} token events came in one read with another and share its time"
        found.append(Flag("merged_reads", "caution", message))
    if tokens - events > MERGED_SHARE * tokens:
        message = f"the server sent {tokens} tokens in {events} events: ITL is between events, TPOT per token"
        found.append(Flag("merged_tokens", "caution", message))
    return found


def _saturated(result: LoadResult, samples: list[Sample], point: LoadPoint) -> list[Flag]:
    """At a rate, a server that keeps up ends one median conversation after the last arrival. One that falls behind by a
    share x of the arrival time leaves a queue: its latencies grow with the length of the run, and are no property of
    the rate alone.
    """
    factor = stretch(samples, point)
    if factor is None or factor <= SATURATED:
        return []
    message = f"the server took {factor:.2f} times as long as the arrivals: {point.rate_rps:.4g}/s saturates it"
    return [Flag("saturated", "note", message)]


def _prefix_cache(result: LoadResult, expected_hit_rate: float) -> list[Flag]:
    """Prompts are fresh, so hits beyond the shared prefix mean work that the server did not do."""
    rate = result.server.prefix_cache_hit_rate
    if rate is None or rate <= expected_hit_rate + CACHE_SHARE:
        return []
    message = f"{rate:.0%} of prompt tokens came from the prefix cache, {expected_hit_rate:.0%} are shared by design"
    return [Flag("prefix_cache_hits", "caution", message)]


def _server_side(result: LoadResult, samples: list[Sample]) -> list[Flag]:
    """The server must have generated what was received, and of the requests that ended early at most what they asked
    for. 1 % apart, someone counts wrongly or someone else uses the server, and both are worth knowing.
    """
    found = []
    if preemptions := result.server.preemptions:
        message = f"the server preempted {preemptions:.0f} requests for lack of KV cache: their gaps are recomputation"
        found.append(Flag("preemptions", "note", message))
    if dropped := result.server.server_metrics_dropped:
        message = f"values of the server's /metrics that are no numbers were left out: {', '.join(dropped)}"
        found.append(Flag("metrics_dropped", "note", message))
    counted = result.server.server_generation_tokens
    if counted is None:
        return found
    ended_early = [s for s in samples if s.sent_s is not None and not s.completed]
    least = result.completion_tokens + sum(s.output_tokens for s in ended_early)
    most = result.completion_tokens + sum(max(s.output_tokens, s.asked.output_tokens) for s in ended_early)
    if (1 - SERVER_SHARE) * least <= counted <= (1 + SERVER_SHARE) * most:
        return found
    message = (
        f"the server counts {counted:.0f} generated tokens, the client received {least}: did someone else use it, "
        "or was it restarted?"
    )
    return [*found, Flag("server_disagrees", "caution", message)]
