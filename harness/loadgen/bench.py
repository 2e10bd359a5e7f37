"""One load point on one server: send its requests, compute what came back."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.config.slo import Slo
from harness.config.workloads import VERBATIM, LoadPoints, Scenario
from harness.engines import Server
from harness.errors import CellError
from harness.loadgen.client.requests import PATHS
from harness.loadgen.client.schedule import run_schedule
from harness.loadgen.client.trace import ClientFacts, Failure, Request
from harness.loadgen.flags import flags
from harness.loadgen.metrics import summarize
from harness.loadgen.samples import Sample, sample
from harness.loadgen.server_metrics import watch
from harness.loadgen.traffic.requests import Traffic, expected_prefix_share, plan_requests
from harness.loadgen.traffic.verbatim import api_of, repeated
from harness.records import Window
from harness.records.flag import Flag
from harness.records.load_result import ClientFigures, LoadResult
from harness.records.point import LoadPoint

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PointRun:
    result: LoadResult
    samples: list[Sample]
    flags: list[Flag]
    window: Window  # first intended send to last response


@dataclass(frozen=True)
class Bench:
    """What stays the same over a scenario's load points."""

    server: Server
    tokenizer: Any
    traffic: Traffic

    @property
    def scenario(self) -> Scenario:
        return self.traffic.scenario

    @property
    def load(self) -> LoadPoints:
        return self.traffic.load

    def run(
        self,
        point: LoadPoint,
        progress: Progress = lambda done, total: None,
        *,
        however_it_ends: bool = False,
        timeout_s: float | None = None,
    ) -> PointRun:
        """`progress(done, total)` counts requests. What is open after `timeout_s`, or load.cell_timeout_s, is cut off.
        Raises CellError when nothing completed or more than half of the requests failed, unless `however_it_ends`:
        there is no number to show then.
        """
        exact_length = self.server.dialect.exact_length
        with watch(self.server) as watched:
            requests = plan_requests(self.traffic, point, self.server.model, self.tokenizer, exact_length)
            samples, client, start_s = self.send(requests, point.concurrency, progress, timeout_s)
        if not however_it_ends:
            self._raise_if_hopeless(samples, point.slug)
        result = replace(
            summarize(samples, point=point, slo=Slo.of(self.scenario.slo)),
            client=_client_figures(client),
            server=watched.summary(),
        )
        shared = expected_prefix_share(self.scenario, point, self.load)
        found = flags(
            result,
            samples,
            point=point,
            expected_hit_rate=shared,
            workers=client.workers,
            exact_length=bool(exact_length),
        )
        if self.scenario.send == VERBATIM:
            found += repeated(self.scenario, point.requests)
        return PointRun(result, samples, found, _window(samples, start_s))

    def send(
        self,
        requests: Iterable[Request],
        concurrency: int | None = None,
        progress: Progress = lambda done, total: None,
        timeout_s: float | None = None,
    ) -> tuple[list[Sample], ClientFacts, float]:
        """The samples, how the client did, and their time zero on CLOCK_MONOTONIC, in seconds."""
        schedule = run_schedule(
            self.server,
            requests,
            concurrency=concurrency,
            request_timeout_s=self.load.request_timeout_s,
            cell_timeout_s=min(self.load.cell_timeout_s, timeout_s or math.inf),
            workers=self.load.workers,
            path=PATHS[api_of(self.scenario)],
            progress=progress,
        )
        with schedule as recording:
            pairs = zip(recording.traces, recording.asked, strict=True)
            samples = [sample(trace, asked) for trace, asked in pairs]
        for one in samples:
            if one.completed:
                self.server.meter.add(one.input_tokens, one.output_tokens)
        return samples, recording.client, recording.start_ns / 1e9

    def _raise_if_hopeless(self, samples: list[Sample], what: str) -> None:
        failed = sum(s.failed for s in samples)
        completed = sum(s.completed for s in samples)
        sent = sum(s.sent_s is not None for s in samples)
        if not completed or failed > sent / 2:
            raise CellError(self.failure(samples, what))

    def failure(self, samples: list[Sample], what: str) -> str:
        """What went wrong, in a line."""
        sent = [s for s in samples if s.sent_s is not None]
        first = min((s for s in samples if s.error is not None), key=lambda s: s.end_s or 0.0, default=None)
        cause = f"; the first: {first.error.kind}: {first.error.message}" if first is not None and first.error else ""
        counts = (
            f"{sum(s.failed for s in sent)} failed, {sum(s.cancelled for s in sent)} were cut off by cell_timeout_s"
        )
        name = self.traffic.scenario_name
        advice = self._advice(first.error) if first is not None and first.error else ""
        return f"{name}, {what}: of {len(sent)} requests to {self.server.base_url} {counts}{cause}{advice}"

    def _advice(self, error: Failure) -> str:
        """For servers of other people that speak another dialect than was said."""
        forced = [field for field in self.server.dialect.exact_length if field in error.message]
        if error.kind in ("http_400", "http_422") and forced:
            return (
                f"; it does not know {', '.join(forced)}: set engine.dialect=openai (answers then end where the model "
                "ends them)"
            )
        if error.kind == "http_429":
            return "; set engine.requests_per_minute, tokens_per_minute or max_concurrency to what it allows"
        return ""


def _window(samples: list[Sample], start_s: float) -> Window:
    sent = [s for s in samples if s.sent_s is not None]
    first, last = min((s.intended_s for s in sent), default=0.0), max((s.end_s or 0.0 for s in sent), default=0.0)
    return Window(start_s, first, max(first, last))


def _client_figures(client: ClientFacts) -> ClientFigures:
    lags_ms = np.asarray(client.loop_lag_s) * 1e3
    return ClientFigures(
        event_loop_lag_ms_p99=float(np.percentile(lags_ms, 99)) if lags_ms.size else None,
        event_loop_lag_ms_max=float(lags_ms.max()) if lags_ms.size else None,
        client_cpu_s=client.cpu_s,
        client_cpu_share_max=client.cpu_share_max,
        client_workers=client.workers,
        connections_opened=client.connections_opened,
        reads=client.reads,
        unasked_reads=client.unasked_reads,
        clock_steps=client.clock_steps,
        clock_step_ms_max=1e3 * client.clock_step_s_max,
    )
