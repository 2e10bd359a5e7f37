"""The metrics of a load cell, each defined here and nowhere else.

Of a request with intended send time t_i, actual send time t_s and token events at a_1 .. a_m (m = n unless the
server put several tokens in one event; n = tokens by the server's usage, m if it gives none):

    TTFT            a_1 - t_i           time to first token
    E2E             a_m - t_i           end-to-end latency, to the last token
    TTFT from send  a_1 - t_s           what most peers call TTFT
    E2E from send   a_m - t_s
    ITL             a_(k+1) - a_k       inter-token latency; pooled: every gap of every request is one value
    ITL of a request    (a_m - a_1) / (m - 1)       the mean of its gaps; one value a request
    TPOT            (E2E - TTFT) / (n - 1)   time per output token; one value a request
    send lag        t_s - t_i - time spent opening a connection

From the intended time, because a client or server that falls behind sends late, and from the actual time its
queueing would vanish ("coordinated omission", Tene 2013). In a closed loop, and for the later turns of a
conversation, t_i is when the request's turn came.

Of the cell, over its completed requests:

    duration        last token of all - first intended send; the ramp at its start and the drain at its end are in it
    window          [a, b], the part of it in which the load was what the point says (`window` below)
    output_tok_per_s    sum of n x (share of the request's events in the window) / (b - a)
    total_tok_per_s     the same, and a request's prompt tokens where its first token is in the window
    achieved_rps    requests whose last token is in the window / (b - a); where requests are turns of conversations,
                    conversations whose last turn ended in it, as offered_rps counts them
    served_rps      offered_rps, less where the server falls behind (below)
    goodput_rps     the part of achieved_rps that met the scenario's SLO (below)
    goodput_share   requests that met it / requests sent; one that failed did not

A request meets an SLO when it meets the limits of each request, and those of the cell's percentiles asked of it: its
TTFT is at most `ttft_ms_p99` and the p99 of its own ITL at most `itl_ms_p99` (config/slo.py, records/slo_values.py).
DistServe (Zhong et al. 2024), which made goodput known, and vLLM ask it of TPOT, which a stalled request may meet: that
is `vllm_goodput_rps` (peers.py).

A rate is served if the work is done one median conversation after the last arrival. achieved_rps does not tell: in a
short run few conversations end within the window, and it wavers with them. With arrivals over a span S, a duration D
and the median time m of a conversation (E2E where it has one turn), D - m is S where the server keeps up, and it
serves offered / stretch, stretch = (D - m) / S. Where it falls behind by a factor r, its queue and m grow evenly:
D = r S + m_0 and m = m_0 + (r - 1) S / 2, hence r = 2 stretch - 1. Requests that did not complete were not served.

Only completed requests count, so a cell with failures is biased towards the requests that were lucky: flags.py
marks it. Percentiles interpolate linearly (numpy's default). What there is no data for is None.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from harness.config.slo import Slo
from harness.loadgen.peers import aiperf_figures, vllm_figures
from harness.loadgen.samples import Sample, conversations
from harness.loadgen.spread import percentile_ms, spread, spread_ms
from harness.records.load_result import LoadResult
from harness.records.point import LoadPoint
from harness.records.slo_values import meets_all

REACHED = 0.95  # of a rate, from which on it counts as served
WINDOW_SHARE = 0.30
WINDOW_EVENTS = 100


@dataclass(frozen=True)
class Window:
    kind: str  # steady | whole
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    def __contains__(self, moment_s: float) -> bool:
        return self.start_s <= moment_s <= self.end_s

    def events(self, token_s: np.ndarray) -> slice:
        """Where in ascending times the window lies."""
        first, last = np.searchsorted(token_s, self.start_s, "left"), np.searchsorted(token_s, self.end_s, "right")
        return slice(int(first), int(last))


def window(samples: list[Sample], point: LoadPoint) -> Window | None:
    """The steady state of a cell; None if nothing completed.

    At a constant rate, and in a closed loop with more than one in flight, it lasts from when the population in flight
    has filled (the first intended send + the median time of a conversation, which is E2E where it has one turn) to the
    last intended send of a first turn, after which the population drains. One at a time, all at once, a ramp and a
    replayed trace have no steady state: the whole duration. So has a cell whose steady window would be shorter than
    30 % of its duration or hold fewer than 100 token events: too little to represent it.
    """
    completed = [s for s in samples if s.completed]
    if not completed:
        return None
    first = min(s.intended_s for s in samples)
    whole = Window("whole", first, max(float(s.token_s[-1]) for s in completed))
    closed_loop = point.concurrency is not None and point.concurrency > 1
    times = conversation_s(samples)
    if not (constant_rate(point) or closed_loop) or not times:
        return whole
    last = max(s.intended_s for s in samples if s.asked.turn == 0 and s.sent_s is not None)
    steady = Window("steady", first + float(np.median(times)), last)
    if steady.seconds < WINDOW_SHARE * whole.seconds:
        return whole
    inside = (steady.events(s.token_s) for s in completed)
    return steady if sum(part.stop - part.start for part in inside) >= WINDOW_EVENTS else whole


def constant_rate(point: LoadPoint) -> bool:
    """An open loop whose rate does not change: not a ramp, and not a replayed trace."""
    varies = point.ramp_rps is not None or point.trace_sha256 is not None
    return point.rate_rps is not None and point.concurrency is None and not varies


def stretch(samples: list[Sample], point: LoadPoint) -> float | None:
    """How many times as long as its arrivals the work at a constant rate took; None for other loads."""
    starts = [s.intended_s for s in samples if s.asked.turn == 0 and s.sent_s is not None]
    times = conversation_s(samples)
    duration_s = _duration_s(samples, [s for s in samples if s.completed])
    if not constant_rate(point) or len(starts) < 2 or not times or duration_s is None:
        return None
    span_s = max(starts) - min(starts)
    return max(1.0, (duration_s - float(np.median(times))) / span_s) if span_s else None


def served_rps(samples: list[Sample], point: LoadPoint) -> float | None:
    factor = stretch(samples, point)
    if factor is None or point.rate_rps is None:
        return None
    sent = [s for s in samples if s.sent_s is not None]
    share = sum(s.completed for s in sent) / len(sent)
    behind = share / factor < REACHED
    return point.rate_rps * share / (2 * factor - 1 if behind else factor)


def conversation_s(samples: list[Sample]) -> list[float]:
    """Seconds from the first intended send to the last token, of every conversation that was completed."""
    return [
        float(turns[-1].token_s[-1]) - turns[0].intended_s
        for turns in conversations(samples)
        if all(turn.completed for turn in turns)
    ]


def summarize(samples: list[Sample], *, point: LoadPoint, slo: Slo) -> LoadResult:
    """Return the result of a load cell without the figures of its client and its server."""
    sent = [s for s in samples if s.sent_s is not None]
    completed = [s for s in samples if s.completed]
    pooled_itl_ms = spread_ms(_gaps(completed))
    send_lag = [s.send_lag_s for s in sent]
    firsts = [s.intended_s for s in samples if s.asked.turn == 0]
    result = LoadResult(
        ttft_ms=spread_ms([s.ttft_s for s in completed]),
        itl_ms=pooled_itl_ms,
        itl_request_ms=spread_ms([_mean_gap_s(s) for s in completed if len(s.token_s) > 1]),
        tpot_ms=spread_ms([s.tpot_s for s in completed if s.output_tokens > 1]),
        e2e_ms=spread_ms([s.e2e_s for s in completed]),
        ttft_from_send_ms=spread_ms([s.token_s[0] - s.sent_s for s in completed]),
        e2e_from_send_ms=spread_ms([s.token_s[-1] - s.sent_s for s in completed]),
        offered_rps=point.rate_rps,
        served_rps=served_rps(samples, point),
        duration_s=_duration_s(samples, completed),
        arrival_span_s=max(firsts) - min(firsts) if firsts else None,
        requests_sent=len(sent),
        requests_completed=len(completed),
        requests_failed=sum(s.failed for s in sent),
        requests_cancelled=sum(s.cancelled for s in sent),
        requests_unsent=len(samples) - len(sent),
        turns_dropped=sum(_dropped(turns) for turns in conversations(samples)),
        send_lag_ms_p50=percentile_ms(send_lag, 50),
        send_lag_ms_p99=percentile_ms(send_lag, 99),
        prompt_lengths=spread([s.input_tokens for s in completed]),
        answer_lengths=spread([s.output_tokens for s in completed]),
        prompt_tokens=sum(s.input_tokens for s in completed),
        completion_tokens=sum(s.output_tokens for s in completed),
        token_events=sum(len(s.token_s) for s in completed),
        merged_events=sum(s.merged_events for s in completed),
        timestamps=_timestamps(completed),
        rejected_stamps=sum(s.rejected_stamps for s in completed),
        implausible=dict(Counter(oddity for s in completed for oddity in s.oddities)),
        errors=dict(Counter(s.error.kind for s in samples if s.error is not None and s.failed)),
        vllm=vllm_figures(samples, pooled_itl_ms, slo),
        aiperf=aiperf_figures(samples),
    )
    span = window(samples, point)
    return result if span is None or span.seconds <= 0 else _with_rates(result, samples, completed, span, slo)


def _mean_gap_s(s: Sample) -> float:
    return float(s.token_s[-1] - s.token_s[0]) / (len(s.token_s) - 1)


def _gaps(completed: list[Sample]) -> np.ndarray:
    """Every gap in one array that is made once: at 100,000 requests it is the largest thing in memory."""
    gaps = np.empty(sum(len(s.token_s) - 1 for s in completed))
    end = 0
    for s in completed:
        start, end = end, end + len(s.token_s) - 1
        np.subtract(s.token_s[1:], s.token_s[:-1], out=gaps[start:end])
    return gaps


def _duration_s(samples: list[Sample], completed: list[Sample]) -> float | None:
    if not completed:
        return None
    return max(float(s.token_s[-1]) for s in completed) - min(s.intended_s for s in samples)


def _with_rates(
    result: LoadResult, samples: list[Sample], completed: list[Sample], span: Window, slo: Slo
) -> LoadResult:
    output = sum(s.output_tokens * len(s.token_s[span.events(s.token_s)]) / len(s.token_s) for s in completed)
    prompts = sum(s.input_tokens for s in completed if s.token_s[0] in span)
    ended = _ended_in(span, samples)
    result = replace(
        result,
        window=span.kind,
        window_s=(span.start_s, span.end_s),
        achieved_rps=len(ended) / span.seconds,
        output_tok_per_s=output / span.seconds,
        total_tok_per_s=(prompts + output) / span.seconds,
    )
    if not slo:
        return result
    sent = sum(s.sent_s is not None for s in samples)
    good = {s.index for s in completed if meets_all(s, slo)}
    met = sum(all(turn.index in good for turn in turns) for turns in ended)
    return replace(result, goodput_rps=met / span.seconds, goodput_share=len(good) / sent)


def achieved_rps(samples: list[Sample], span: Window | None) -> float | None:
    return len(_ended_in(span, samples)) / span.seconds if span is not None and span.seconds > 0 else None


def departure_rps(samples: list[Sample]) -> float | None:
    """Return the rate at which conversations end, from the first tenth of them to the last.

    It is that of the arrivals where the server keeps up, however short the run, and the server's own where it is
    saturated: the ramp at the start and the drain at the end, which are long in a short run, are not in it.
    """
    ends = sorted(float(turns[-1].token_s[-1]) for turns in conversations(samples) if turns[-1].completed)
    cut = len(ends) // 10
    inner = ends[cut : len(ends) - cut]
    return (len(inner) - 1) / (inner[-1] - inner[0]) if len(inner) > 1 and inner[-1] > inner[0] else None


def _ended_in(span: Window, samples: list[Sample]) -> list[list[Sample]]:
    """The conversations whose last turn was completed in the window."""
    return [turns for turns in conversations(samples) if turns[-1].completed and turns[-1].token_s[-1] in span]


def _dropped(turns: list[Sample]) -> int:
    """Turns that were not sent because their conversation broke off before, and not for lack of time."""
    broken = any(turn.failed for turn in turns)
    return sum(turn.sent_s is None for turn in turns) if broken else 0


def _timestamps(completed: list[Sample]) -> str | None:
    kinds = {"kernel" if s.kernel_stamps else "user" for s in completed}
    if kinds == {"kernel"} and any(s.rejected_stamps for s in completed):
        return "mixed"
    return "mixed" if len(kinds) > 1 else next(iter(kinds), None)
