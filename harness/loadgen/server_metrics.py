"""The engine's own account of a cell, from GET /metrics in Prometheus text format. What it does not export is absent.

The exporter's names are those of the server's dialect. Other users of the server are in it too.
"""

import contextlib
import math
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.engines import Server
from harness.protocol.urls import fetch
from harness.records.load_result import ServerFigures

TIMEOUT_S = 10.0
POLL_S, POLL_TIMEOUT_S = 1.0, 3.0
MAX_SERIES = 600  # points kept; when they are full, every other one goes and the polls come half as often

COUNTERS = (
    "prefix_cache_queries",  # tokens
    "prefix_cache_hits",  # tokens
    "prefix_cache_extra",  # hits, in tokens that prompt_tokens leaves out
    "preemptions",  # requests
    "generation_tokens",
    "prompt_tokens",
    "requests_succeeded",
    "drafts",  # of speculative decoding: one a sequence and step
    "draft_tokens",
    "accepted_tokens",
)
GAUGES = ("running", "waiting", "kv_cache_use")  # requests, requests, share of the cache


class Watched:
    """What was seen. Filled while the context of `watch` lasts; `summary` is for after it."""

    def __init__(self, before: dict[str, float], dropped: set[str] | None = None):
        self._before = before
        self._dropped = set() if dropped is None else dropped  # metrics that had a value which is no number
        self._after: dict[str, float] = {}
        self._series: list[list[float | None]] = []  # t_s, running, waiting, kv_cache_use
        self._skip = self._seen = 0

    def saw(self, t_s: float, values: dict[str, float]) -> None:
        self._after = values
        self._seen += 1
        if not any(name in values for name in GAUGES) or self._seen % (self._skip + 1):
            return
        self._series.append([round(t_s, 3), *(values.get(name) for name in GAUGES)])
        if len(self._series) >= MAX_SERIES:
            del self._series[::2]
            self._skip = 2 * self._skip + 1

    def summary(self) -> ServerFigures:
        running, waiting, kv_cache_use = (self._highest(column) for column in range(1, 1 + len(GAUGES)))
        return replace(
            between(self._before, self._after),
            server_running_max=running,
            server_waiting_max=waiting,
            server_kv_cache_use_max=kv_cache_use,
            server_series=tuple(map(tuple, self._series)),
            server_metrics_dropped=tuple(sorted(self._dropped)),
        )

    def _highest(self, column: int) -> float | None:
        return max((value for point in self._series if (value := point[column]) is not None), default=None)


@contextlib.contextmanager
def watch(server: Server) -> Iterator[Watched]:
    """Reads the metrics before, after, and about once a second between. Never raises an error itself.

    The times of the series count from when the context began, which is before the cell's own zero. The thread ends with
    the context, at the latest when its poll in progress times out.
    """
    dropped: set[str] = set()
    before = scrape(server, dropped=dropped)
    watched = Watched(before, dropped)
    start = time.monotonic()
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(POLL_S):
            values = scrape(server, POLL_TIMEOUT_S, dropped)
            if values and not ended.is_set():
                watched.saw(time.monotonic() - start, values)

    thread = threading.Thread(target=poll, name="server-metrics", daemon=True)
    if before:
        thread.start()
    try:
        yield watched
    finally:
        ended.set()
        if before:
            thread.join(POLL_TIMEOUT_S + TIMEOUT_S)
            watched.saw(time.monotonic() - start, scrape(server, dropped=dropped))


def scrape(server: Server, timeout_s: float = TIMEOUT_S, dropped: set[str] | None = None) -> dict[str, float]:
    """The metrics that this server has; {} when it has none. `dropped`: as of parse()."""
    request = urllib.request.Request(server.base_url + "/metrics", headers=server.headers)
    try:
        return parse(fetch(request, timeout_s).decode("utf-8", "replace"), server.dialect.metrics, dropped)
    except OSError:  # refused, 404, time-out: a server without metrics can be measured too
        return {}


def parse(text: str, names: Mapping[str, str], dropped: set[str] | None = None) -> dict[str, float]:
    """Each quantity of `names` (exporter's name: ours) summed over its labels (engines, models), and the fullest KV
    cache of them.

    A value that is no count or share (NaN, Infinity, below 0) is left out, and its metric's name added to `dropped`.
    """
    found: dict[str, float] = {}
    for line in text.split("\n"):
        name, brace, labelled = line.partition("{")
        if not brace:
            name, _, labelled = line.partition(" ")
        ours = names.get(name.strip())
        if ours is None:
            continue
        words = (labelled.rpartition("}")[2] if brace else labelled).split()  # the value, and a time stamp perhaps
        value = _number(words[0]) if words else math.nan
        before = found.get(ours, 0.0)
        total = max(before, value) if ours == "kv_cache_use" else before + value
        if value >= 0 and math.isfinite(total):
            found[ours] = total
        elif dropped is not None:
            dropped.add(name.strip())
    return found


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def between(before: dict[str, float], after: dict[str, float]) -> ServerFigures:
    """What the counters say happened from one scrape to the next.

    prefix_cache_hit_rate is hits / queries, in tokens. A server may count hits alone, of all prompt tokens, or beside
    the prompt tokens that it computes. draft_acceptance_rate is accepted / draft tokens, tokens_per_draft 1 +
    accepted tokens / drafts (the mean acceptance length), drafted_share accepted / generated tokens. A counter that
    fell means that the server restarted.
    """
    change = {name: after[name] - before[name] for name in COUNTERS if name in before and name in after}
    change = {name: value for name, value in change.items() if value >= 0}
    if (extra := change.get("prefix_cache_extra")) is not None and "prompt_tokens" in change:
        change |= {"prompt_tokens": change["prompt_tokens"] + extra, "prefix_cache_hits": extra}
    queries, hits = change.get("prefix_cache_queries", change.get("prompt_tokens")), change.get("prefix_cache_hits")
    drafts, proposed, accepted = (change.get(name) for name in ("drafts", "draft_tokens", "accepted_tokens"))
    generated = change.get("generation_tokens")
    return ServerFigures(
        prefix_cache_hit_rate=hits / queries if queries and hits is not None else None,
        preemptions=change.get("preemptions"),
        server_generation_tokens=generated,
        server_prompt_tokens=change.get("prompt_tokens"),
        server_requests_succeeded=change.get("requests_succeeded"),
        draft_acceptance_rate=accepted / proposed if proposed and accepted is not None else None,
        tokens_per_draft=1 + accepted / drafts if drafts and accepted is not None else None,
        drafted_share=accepted / generated if drafts and generated and accepted is not None else None,
    )
