"""The metrics of a load cell, each defined here and nowhere else.

Of a request with intended send time t_i, actual send time t_s and token events at a_1 .. a_m (m = n unless the
server put several tokens in one event; n = tokens by the server's usage, m if it gives none):

    TTFT            a_1 - t_i           time to first token
    E2E             a_m - t_i           end-to-end latency, to the last token
    TTFT from send  a_1 - t_s           what most peers call TTFT
    E2E from send   a_m - t_s
    ITL             a_(k+1) - a_k       inter-token latency; pooled: every gap of every request is one value
    TPOT            (E2E - TTFT) / (n - 1)   time per output token; one value a request
    send lag        t_s - t_i - time spent opening a connection

From the intended time, because a client or server that falls behind sends late, and from the actual time its
queueing would vanish ("coordinated omission", Tene 2013). In a closed loop t_i is when the request's turn came.

Of the cell, over its completed requests:

    duration        last token of all - first intended send; the ramp at its start and the drain at its end are in it
    output_tok_per_s    sum of n / duration
    total_tok_per_s     sum of (prompt tokens + n) / duration
    achieved_rps        completed / duration

Only completed requests count, so a cell with failures is biased towards the requests that were lucky: validity.py
marks it. Percentiles interpolate linearly (numpy's default). What there is no data for is None.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.load.sse import Stream, parse
from harness.load.trace import Failure, Trace

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Sample:
    """One request: what was asked of it, when, and what came back. Seconds since the cell's start."""

    index: int
    asked_prompt_tokens: int
    asked_output_tokens: int
    intended_s: float
    sent_s: float | None  # None: the cell ended before its turn
    connect_s: float
    end_s: float | None
    token_s: list[float]
    merged_events: int
    prompt_tokens: int | None  # by the server's usage
    completion_tokens: int | None
    error: Failure | None
    kernel_stamps: bool = True

    @property
    def completed(self) -> bool:
        return self.sent_s is not None and self.error is None

    @property
    def cancelled(self) -> bool:
        return self.error is not None and self.error.kind == "cancelled"

    @property
    def failed(self) -> bool:
        return self.error is not None and not self.cancelled

    @property
    def output_tokens(self) -> int:
        """Tokens generated, as the server counts them."""
        return len(self.token_s) if self.completion_tokens is None else self.completion_tokens

    @property
    def send_lag_s(self) -> float:
        assert self.sent_s is not None
        return self.sent_s - self.intended_s - self.connect_s


def sample(trace: Trace, asked_prompt_tokens: int, asked_output_tokens: int) -> Sample:
    stream = parse(trace) if trace.sent_s is not None else Stream([], 0, None, None, None)
    return Sample(
        index=trace.index,
        asked_prompt_tokens=asked_prompt_tokens,
        asked_output_tokens=asked_output_tokens,
        intended_s=trace.intended_s,
        sent_s=trace.sent_s,
        connect_s=trace.connect_s,
        end_s=trace.end_s,
        token_s=stream.token_s,
        merged_events=stream.merged_events,
        prompt_tokens=stream.prompt_tokens,
        completion_tokens=stream.completion_tokens,
        error=stream.error,
        kernel_stamps=trace.kernel_stamps,
    )


def summarize(samples: list[Sample], offered_rps: float | None) -> dict[str, Any]:
    """The flat `result` of a load cell (see records.py); latencies in milliseconds."""
    sent = [s for s in samples if s.sent_s is not None]
    completed = [s for s in samples if s.completed]
    gaps = [np.diff(s.token_s) for s in completed]
    duration_s = None
    if completed:
        duration_s = max(s.token_s[-1] for s in completed) - min(s.intended_s for s in samples)
    prompt_tokens = sum(s.asked_prompt_tokens if s.prompt_tokens is None else s.prompt_tokens for s in completed)
    output_tokens = sum(s.output_tokens for s in completed)
    return {
        **_spread("ttft_ms", [s.token_s[0] - s.intended_s for s in completed]),
        **_spread("itl_ms", np.concatenate(gaps) if gaps else []),
        **_spread("tpot_ms", [tpot_s(s) for s in completed if s.output_tokens > 1]),
        **_spread("e2e_ms", [s.token_s[-1] - s.intended_s for s in completed]),
        **_spread("ttft_from_send_ms", [s.token_s[0] - s.sent_s for s in completed]),
        **_spread("e2e_from_send_ms", [s.token_s[-1] - s.sent_s for s in completed]),
        "offered_rps": offered_rps,
        "achieved_rps": _rate(len(completed), duration_s),
        "output_tok_per_s": _rate(output_tokens, duration_s),
        "total_tok_per_s": _rate(prompt_tokens + output_tokens, duration_s),
        "duration_s": duration_s,
        "arrival_span_s": samples[-1].intended_s - samples[0].intended_s if samples else None,
        "requests_sent": len(sent),
        "requests_completed": len(completed),
        "requests_failed": sum(s.failed for s in sent),
        "requests_cancelled": sum(s.cancelled for s in sent),
        "requests_unsent": len(samples) - len(sent),
        "send_lag_ms_p50": _percentile([s.send_lag_s for s in sent], 50),
        "send_lag_ms_p99": _percentile([s.send_lag_s for s in sent], 99),
        "prompt_tokens": prompt_tokens,
        "completion_tokens": output_tokens,
        "token_events": sum(len(s.token_s) for s in completed),
        "merged_events": sum(s.merged_events for s in completed),
        "timestamps": _timestamps(completed),
        "errors": dict(Counter(s.error.kind for s in sent if s.failed)),
    }


def tpot_s(s: Sample) -> float:
    return (s.token_s[-1] - s.token_s[0]) / (s.output_tokens - 1)


def row(s: Sample) -> dict[str, Any]:
    """The raw columns of a request, from which every metric can be computed again. Rounded to a microsecond."""
    return {
        "index": s.index,
        "prompt_tokens": s.asked_prompt_tokens if s.prompt_tokens is None else s.prompt_tokens,
        "output_tokens": s.asked_output_tokens,
        "intended_s": round(s.intended_s, 6),
        "sent_s": None if s.sent_s is None else round(s.sent_s, 6),
        "connect_s": round(s.connect_s, 6),
        "token_s": [round(t, 6) for t in s.token_s],
        "end_s": None if s.end_s is None else round(s.end_s, 6),
        "completion_tokens": s.completion_tokens,
        "error": None if s.error is None else {"kind": s.error.kind, "message": s.error.message},
    }


def _spread(name: str, seconds) -> dict[str, float | None]:
    values = np.asarray(seconds, dtype=float)
    spread = {f"{name}_mean": float(values.mean() * 1e3) if values.size else None}
    return spread | {f"{name}_p{p}": _percentile(values, p) for p in PERCENTILES}


def _percentile(seconds, percent: float) -> float | None:
    return float(np.percentile(seconds, percent) * 1e3) if len(seconds) else None


def _rate(count: int, duration_s: float | None) -> float | None:
    return count / duration_s if duration_s else None


def _timestamps(completed: list[Sample]) -> str | None:
    kinds = {"kernel" if s.kernel_stamps else "user" for s in completed}
    return "mixed" if len(kinds) > 1 else next(iter(kinds), None)
