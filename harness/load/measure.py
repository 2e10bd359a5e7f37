"""One load cell, from its name to its numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.config import LoadPoints, Scenario
from harness.engines import Server
from harness.errors import CellError
from harness.load import PROFILES, LoadPoint, derive_seed
from harness.load.client import run_schedule
from harness.load.corpora import load_corpus
from harness.load.metrics import Sample, row, sample, summarize
from harness.load.prompts import make_prompts
from harness.load.requests import make_request
from harness.load.server_metrics import between, scrape
from harness.load.trace import Asked, Request
from harness.load.validity import flags
from harness.records import Outcome

WARM_UP_OUTPUT_TOKENS = 16
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
    requests = plan_requests(server.model, tokenizer, scenario_name, scenario, point, seed)
    before = scrape(server)
    recording = run_schedule(
        server,
        requests,
        concurrency=PROFILES[point.profile].concurrency,
        request_timeout_s=load.request_timeout_s,
        cell_timeout_s=load.cell_timeout_s,
        progress=progress,
    )
    server_side = between(before, scrape(server))
    samples = [sample(trace, scenario.prompt_tokens, scenario.output_tokens) for trace in recording.traces]
    _raise_if_hopeless(samples, f"{scenario_name}, {point.slug}", server)
    lags = recording.loop_lag_s
    result = {
        **summarize(samples, point.rate_rps),
        "event_loop_lag_ms_p99": float(np.percentile(lags, 99) * 1e3) if lags else None,
        "client_cpu_s": recording.client_cpu_s,
        **server_side,
    }
    shared = scenario.shared_prefix_tokens / scenario.prompt_tokens
    return Outcome(
        result=result,
        rows=[row(s) for s in samples],
        flags=flags(result, samples, profile=point.profile, expected_hit_rate=shared),
    )


def plan_requests(
    model: str, tokenizer: Any, scenario_name: str, scenario: Scenario, point: LoadPoint, seed: int
) -> list[Request]:
    """Every request of a load point, with its intended time: the same for every variant but for the served name."""
    prompts = make_prompts(
        tokenizer,
        load_corpus(scenario.text),
        count=point.requests,
        tokens=scenario.prompt_tokens,
        seed=point.seed(seed, scenario_name, "prompts"),
        shared_tokens=scenario.shared_prefix_tokens,
        shared_seed=derive_seed(seed, scenario_name, "shared prefix"),
    )
    times = PROFILES[point.profile].send_times(point, point.seed(seed, scenario_name, "arrivals"))
    return [
        make_request(index, intended_s, model, prompt, Asked(scenario.prompt_tokens, scenario.output_tokens))
        for index, (intended_s, prompt) in enumerate(zip(times, prompts, strict=True))
    ]


def warm_up(
    server: Server, tokenizer: Any, scenario_name: str, scenario: Scenario, load: LoadPoints, seed: int
) -> None:
    """load.warmup_requests of the scenario's prompts, one alone and then the rest at once, before a session's cells.

    First requests pay for lazy compilation, allocation and connection set-up. Raises CellError if none is answered.
    """
    if load.warmup_requests <= 0:
        return
    prompts = make_prompts(
        tokenizer,
        load_corpus(scenario.text),
        count=load.warmup_requests,
        tokens=scenario.prompt_tokens,
        seed=derive_seed(seed, scenario_name, "warm-up"),
    )
    output_tokens = min(scenario.output_tokens, WARM_UP_OUTPUT_TOKENS)
    asked = Asked(scenario.prompt_tokens, output_tokens)
    requests = [make_request(index, 0.0, server.model, prompt, asked) for index, prompt in enumerate(prompts)]
    samples: list[Sample] = []
    for batch in (requests[:1], requests[1:]):
        if batch:
            traces = _send_all(server, batch, load)
            samples += [sample(trace, scenario.prompt_tokens, output_tokens) for trace in traces]
    if not any(s.completed for s in samples):
        raise CellError(_failure_message(samples, f"{scenario_name}, warm-up", server))


def _send_all(server: Server, requests: Sequence[Request], load: LoadPoints):
    return run_schedule(
        server,
        requests,
        concurrency=None,
        request_timeout_s=load.request_timeout_s,
        cell_timeout_s=load.cell_timeout_s,
    ).traces


def _raise_if_hopeless(samples: list[Sample], what: str, server: Server) -> None:
    failed = sum(s.failed for s in samples)
    completed = sum(s.completed for s in samples)
    sent = sum(s.sent_s is not None for s in samples)
    if not completed or failed > sent / 2:
        raise CellError(_failure_message(samples, what, server))


def _failure_message(samples: list[Sample], what: str, server: Server) -> str:
    sent = [s for s in samples if s.sent_s is not None]
    first = min((s for s in sent if s.error is not None), key=lambda s: s.end_s or 0.0, default=None)
    cause = f"; the first: {first.error.kind}: {first.error.message}" if first is not None and first.error else ""
    counts = f"{sum(s.failed for s in sent)} failed, {sum(s.cancelled for s in sent)} were cut off by cell_timeout_s"
    return f"{what}: of {len(sent)} requests to {server.base_url} {counts}{cause}"
