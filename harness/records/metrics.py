"""Names of the metrics of a load cell: the one table that the client writes and every reader selects from.

A latency is stored as its mean and percentiles over requests or tokens: ``itl_ms_p99``.

The other numbers of a load cell are the fields of load_result.py.
"""

import functools
import re
import sys

PERCENTILES = (50, 90, 95, 99)
QUANTILES = tuple(f"p{percent}" for percent in PERCENTILES)
SPREAD = ("mean", *QUANTILES)  # of each latency
LATENCIES = ("ttft_ms", "itl_ms", "tpot_ms", "e2e_ms")
SHOWN_LATENCIES = ("itl_ms", "ttft_ms", "e2e_ms")  # TPOT is a request's mean ITL: one of the two is enough
RATES = ("output_tok_per_s", "total_tok_per_s", "achieved_rps")
SLACK = 1e-6  # of a share or a ratio, for the last digits of sums


def spread(latencies: tuple[str, ...], parts: tuple[str, ...] = SPREAD) -> tuple[str, ...]:
    """Return the metrics of these latencies: ``ttft_ms_mean``, ``ttft_ms_p50``, ..."""
    return tuple(f"{latency}_{part}" for latency in latencies for part in parts)


METRICS = (*spread(LATENCIES), *RATES)  # in tables, cells.csv and summary.json

_NEVER_NEGATIVE = re.compile(
    r"(?:(?:vllm|aiperf)_)?(?:ttft|itl|itl_request|tpot|e2e|e2el|ttft_from_send|e2e_from_send|request_latency)_ms_\w+|"
    r"\w+_rps|\w+_tok_per_s|requests_\w+|turns_dropped|token_events|merged_events|(?:prompt|completion)_tokens"
)
_SHARES = ("goodput_share", "prefix_cache_hit_rate", "server_kv_cache_use_max", "drafted_share")


@functools.cache
def highest(name: str) -> float | None:
    """Return the largest finite value that a number of a load cell may have; None for one without known limits."""
    if name in _SHARES:
        return 1 + SLACK
    return sys.float_info.max if _NEVER_NEGATIVE.fullmatch(name) else None
