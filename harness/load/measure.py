"""One load cell, from its name to its numbers."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from harness.config import LoadPoints, Scenario
from harness.engines import Server
from harness.errors import CellError
from harness.load import LoadPoint
from harness.load.client.schedule import run_schedule
from harness.load.client.trace import ClientFacts, Request
from harness.load.metrics import summarize
from harness.load.samples import Sample, row, sample
from harness.load.server_metrics import watch
from harness.load.traffic.plan import expected_prefix_share, plan_requests, warm_up_requests
from harness.load.validity import flags
from harness.records import Flag, Outcome

Progress = Callable[[int, int], None]


def measure(
    server: Server,
    tokenizer: Any,
    scenario_name: str,
    scenario: Scenario,
    point: LoadPoint,
    load: LoadPoints,
    seed: int,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Send a load point's requests and compute what came back. `progress(done, total)` counts requests.

    Raises CellError when nothing completed or more than half of the requests failed: there is no number to show then.
    """
    if point.profile == "capacity":
        from harness.load.capacity_cell import measure_capacity

        return measure_capacity(server, tokenizer, scenario_name, scenario, point, load, seed, progress)
    result, samples, found = run_point(
        server, tokenizer, scenario_name, scenario, point, load, seed, progress, raise_if_hopeless=True
    )
    return Outcome(result=result, rows=map(row, samples), flags=found)


def run_point(
    server: Server,
    tokenizer: Any,
    scenario_name: str,
    scenario: Scenario,
    point: LoadPoint,
    load: LoadPoints,
    seed: int,
    progress: Progress = lambda done, total: None,
    *,
    raise_if_hopeless: bool,
) -> tuple[dict[str, Any], list[Sample], list[Flag]]:
    """(result, requests, flags) of one load point."""
    requests = plan_requests(server.model, tokenizer, scenario_name, scenario, point, load, seed)
    with watch(server) as watched:
        samples, client = _send(server, requests, point.concurrency, load, progress)
    if raise_if_hopeless:
        _raise_if_hopeless(samples, f"{scenario_name}, {point.slug}", server)
    result = {
        **summarize(samples, point=point, slo=scenario.slo),
        **_client_columns(client),
        **watched.summary(),
    }
    shared = expected_prefix_share(scenario, point, load)
    found = flags(result, samples, point=point, expected_hit_rate=shared, workers=client.workers)
    return result, samples, found


def warm_up(
    server: Server, tokenizer: Any, scenario_name: str, scenario: Scenario, load: LoadPoints, seed: int
) -> None:
    """load.warmup_requests of the scenario's prompts, one alone and then the rest at once, before a session's cells.

    First requests pay for lazy compilation, allocation and connection set-up. Raises CellError if none is answered.
    """
    if load.warmup_requests <= 0:
        return
    first, *rest = warm_up_requests(server.model, tokenizer, scenario_name, scenario, load, seed)
    samples = _send(server, [first], None, load)[0]
    if rest:
        samples += _send(server, rest, None, load)[0]
    if not any(s.completed for s in samples):
        raise CellError(_failure_message(samples, f"{scenario_name}, warm-up", server))


def _send(
    server: Server,
    requests: Iterable[Request],
    concurrency: int | None,
    load: LoadPoints,
    progress: Progress = lambda done, total: None,
) -> tuple[list[Sample], ClientFacts]:
    schedule = run_schedule(
        server,
        requests,
        concurrency=concurrency,
        request_timeout_s=load.request_timeout_s,
        cell_timeout_s=load.cell_timeout_s,
        workers=load.workers,
        progress=progress,
    )
    with schedule as recording:
        pairs = zip(recording.traces, recording.asked, strict=True)
        return [sample(trace, asked) for trace, asked in pairs], recording.client


def _client_columns(client: ClientFacts) -> dict[str, Any]:
    lags_ms = np.asarray(client.loop_lag_s) * 1e3
    return {
        "event_loop_lag_ms_p99": float(np.percentile(lags_ms, 99)) if lags_ms.size else None,
        "event_loop_lag_ms_max": float(lags_ms.max()) if lags_ms.size else None,
        "client_cpu_s": client.cpu_s,
        "client_cpu_share_max": client.cpu_share_max,
        "client_workers": client.workers,
        "connections_opened": client.connections_opened,
        "reads": client.reads,
    }


def _raise_if_hopeless(samples: list[Sample], what: str, server: Server) -> None:
    failed = sum(s.failed for s in samples)
    completed = sum(s.completed for s in samples)
    sent = sum(s.sent_s is not None for s in samples)
    if not completed or failed > sent / 2:
        raise CellError(_failure_message(samples, what, server))


def _failure_message(samples: list[Sample], what: str, server: Server) -> str:
    sent = [s for s in samples if s.sent_s is not None]
    first = min((s for s in samples if s.error is not None), key=lambda s: s.end_s or 0.0, default=None)
    cause = f"; the first: {first.error.kind}: {first.error.message}" if first is not None and first.error else ""
    counts = f"{sum(s.failed for s in sent)} failed, {sum(s.cancelled for s in sent)} were cut off by cell_timeout_s"
    return f"{what}: of {len(sent)} requests to {server.base_url} {counts}{cause}"
