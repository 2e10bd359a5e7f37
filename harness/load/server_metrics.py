"""The engine's own counters, from GET /metrics in Prometheus text format. What it does not export is absent."""

import urllib.request
from http.client import HTTPException

from harness.engines import Server

TIMEOUT_S = 10.0
MAX_BYTES = 16 << 20

# our name: the exporters' names for it
COUNTERS = {
    "prefix_cache_queries": ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_queries"),  # tokens
    "prefix_cache_hits": ("vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits"),  # tokens
    "preemptions": ("vllm:num_preemptions_total", "vllm:num_preemptions"),  # requests
}


def scrape(server: Server) -> dict[str, float]:
    """The counters that this server has, each summed over its labels (engines, models); {} when it has none."""
    request = urllib.request.Request(server.base_url + "/metrics", headers=server.headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # as the client: no proxy in between
    try:
        with direct.open(request, timeout=TIMEOUT_S) as response:
            return counters(response.read(MAX_BYTES).decode("utf-8", "replace"))
    except (OSError, HTTPException):  # refused, 404, time-out: a server without metrics can be measured too
        return {}


def counters(text: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        name = name.partition("{")[0]
        for ours, theirs in COUNTERS.items():
            if name in theirs:
                try:
                    sums[ours] = sums.get(ours, 0.0) + float(value)
                except ValueError:
                    continue
    return sums


def between(before: dict[str, float], after: dict[str, float]) -> dict[str, float | None]:
    """What happened from one scrape to the next, as keys of a load cell's result; None where not exported.

    prefix_cache_hit_rate is hits / queries, in tokens. A counter that fell means that the server restarted.
    """
    change = {name: after[name] - before[name] for name in after if after[name] >= before.get(name, float("inf"))}
    queries, hits = change.get("prefix_cache_queries"), change.get("prefix_cache_hits")
    return {
        "prefix_cache_hit_rate": hits / queries if queries and hits is not None else None,
        "preemptions": change.get("preemptions"),
    }
