"""What is stored: one record a cell, written once, never changed. Everything after the store is a function of it.

A record is a JSON object; beside it lie its rows as JSON lines, one an item (accuracy) or a request (load).

Record keys: `schema`, `cell` (see Cell in plan.py: kind, variant, suite | scenario, point, repeat, key),
`fingerprint`, `inputs` (what was fingerprinted), `result`, `flags`, `engine` (Engine facts: kind, version, command,
kernels, log), `host` (machine facts), `started_at` (ISO 8601, UTC), `duration_s`, `harness` (version).

`result` of an accuracy or judge cell:
    primary   name of the score that stands for the suite ("acc", "exact_match_flexible", "pass@1", "win_rate")
    scores    {name: {"value": mean over items in 0..1, "n": items}}
    counts    {"items": n, "truncated": .., "empty": .., "unparsed": .., "errors": ..}
    data      {"source": "hub" | "pocket" | "mirror", "name": .., "digest": sha256 or revision, "population": items
              of the whole suite}; n < population makes the suite partial
    details   suite-specific facts (few-shot count, chat template, judge and its calibration ...)
Item rows: {"id": unique in the suite, "group": subject or None, "doc_hash", "prompt_hash", "scores": {name: 0..1},
    "response": text, "finish_reason", "completion_tokens"}; rows of two variants are
    paired on (id, doc_hash, prompt_hash).

`result` of a load cell is flat: names carry their unit, `load/metrics.py` has the formulas:
    ttft_ms_{mean,p50,p90,p95,p99}, itl_ms_{..}, tpot_ms_{..}, e2e_ms_{..}, ttft_from_send_ms_{..},
    offered_rps (None unless the profile has a rate), achieved_rps, output_tok_per_s, total_tok_per_s, duration_s,
    requests_sent, requests_completed, requests_failed, requests_cancelled, send_lag_ms_p99, prompt_tokens,
    completion_tokens (sums), errors {kind: count}, e2e_from_send_ms_{..}, requests_unsent, event_loop_lag_ms_p99,
    client_cpu_s, arrival_span_s (last minus first intended send), token_events,
    merged_events, timestamps (kernel | user | mixed), prefix_cache_hit_rate, preemptions
Request rows: {"index", "prompt_tokens", "output_tokens" (asked), "intended_s", "sent_s", "token_s": [receive times],
    "completion_tokens" (usage), "connect_s", "end_s", "error": None | {"kind", "message"}}; seconds since the cell's
    start. A failed request's latency is end_s - intended_s.
"""

from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class Flag:
    """Something the reader must know about a number. `invalid`: do not compare it; `caution`: read it with care."""

    code: str  # client_lag, errors, token_mismatch, prefix_cache_hits, emulated_kernel, truncated, unparsed, ...
    level: str  # invalid | caution | note
    message: str


@dataclass(frozen=True)
class Outcome:
    """What measuring a cell gives."""

    result: dict[str, Any]
    rows: list[dict[str, Any]]
    flags: list[Flag]


def flag_dicts(flags: list[Flag]) -> list[dict[str, str]]:
    return [asdict(flag) for flag in flags]
