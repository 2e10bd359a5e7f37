"""Each check drives the client against a server whose every send is known, and says how far off the client was."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.engines import Deployment, Server
from harness.engines.simulated.engine import Simulated, SimulatedConfig
from harness.loadgen.client.requests import make_request
from harness.loadgen.client.schedule import run_schedule
from harness.loadgen.client.sse import parse
from harness.loadgen.client.trace import Asked, ClientFacts
from harness.loadgen.traffic.arrivals import poisson
from harness.selftest.needs import Needs

GAP_MS, TTFT_MS, SLOW_GAP_MS = 20.0, 20.0, 500.0
TOKENS = 50
PROMPT = list(range(100, 356))
SENT = re.compile(rb'"sent_ns":\s*(\d+)')
MERGED_SHARE = 0.001
STAMP_P99_US = 1000.0  # a gap of 20 ms is then known to 5 %, and ITL differences of a few ms are not smeared
SEND_P99_MS = 10.0  # what loadgen/client_flags.py allows before a point is invalid
DISPERSION = 0.05
SECONDS, WINDOW_S = 12.0, 0.25
STREAMS = (1000, 5000)
LADDER = (128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Check:
    name: str
    value: float | None
    unit: str
    limit: str  # "at most 1000"
    ok: bool
    note: str = ""


def _at_most(name: str, value: float | None, unit: str, most: float) -> Check:
    return Check(name, value, unit, f"at most {most:g}", value is not None and value <= most)


@dataclass(frozen=True)
class Observed:
    """One run against the known-schedule server. Arrays of seconds."""

    requests: int
    failures: int
    tokens: int
    merged: int  # token events that share a read although the server sent them apart
    stamp_error_s: np.ndarray  # of each token: received - sent
    gap_error_s: np.ndarray  # of each gap: measured - true
    send_error_s: np.ndarray  # of each request: sent - intended
    intended_s: np.ndarray
    sent_s: np.ndarray
    tok_per_s: float
    client: ClientFacts


def known_server(gap_ms: float, log: Path) -> AbstractContextManager[Server]:
    """A server that sends token k of a request TTFT_MS + k * gap_ms after its arrival, and says when it did."""
    config = SimulatedConfig(gap_ms=gap_ms, ttft_ms=TTFT_MS)
    return Simulated(config, log.parent).serve(Deployment("selftest", "selftest"), log)


def observe(server: Server, times: Sequence[float], tokens: int, workers: int, concurrency: int | None) -> Observed:
    requests = (
        make_request(index, at_s, server.model, PROMPT, Asked(len(PROMPT), tokens)) for index, at_s in enumerate(times)
    )
    stamps, gaps, sends, intended, sent_at, ends = [], [], [], [], [], []
    failures = count = merged = 0
    with run_schedule(
        server, requests, concurrency=concurrency, workers=workers, request_timeout_s=60.0, cell_timeout_s=120.0
    ) as recording:
        for trace in recording.traces:
            stream = parse(trace)
            if trace.sent_s is not None:
                intended.append(trace.intended_s)
                sent_at.append(trace.sent_s)
                sends.append(trace.sent_s - trace.intended_s - trace.connect_s)
            if stream.error is not None or trace.sent_s is None:
                failures += 1
                continue
            sent_ns = SENT.findall(b"".join(data for _, data in trace.chunks))[: len(stream.token_s)]
            true_s = (np.array(sent_ns, dtype=np.int64) - recording.start_ns) / 1e9
            got_s = np.asarray(stream.token_s)
            stamps.append(got_s - true_s)
            gaps.append(np.diff(got_s) - np.diff(true_s))
            merged += int(((np.diff(got_s) == 0) & (np.diff(true_s) > 1e-3)).sum())
            count += len(got_s)
            ends += [true_s[0], true_s[-1]]
        client = recording.client
    return Observed(
        requests=len(times),
        failures=failures,
        tokens=count,
        merged=merged,
        stamp_error_s=np.concatenate(stamps) if stamps else np.array([]),
        gap_error_s=np.concatenate(gaps) if gaps else np.array([]),
        send_error_s=np.array(sends),
        intended_s=np.array(intended),
        sent_s=np.array(sent_at),
        tok_per_s=count / (max(ends) - min(ends)) if ends else 0.0,
        client=client,
    )


def dispersion(times_s: np.ndarray, window_s: float) -> float:
    """Variance / mean of the counts in windows: 1 for a Poisson process (Cox & Lewis 1966)."""
    counts = np.histogram(times_s, np.arange(0.0, times_s.max(), window_s))[0]
    return float(counts.var(ddof=1) / counts.mean())


def run_checks(
    needs: Needs, workers: int, log: Path, say: Callable[[str], None], ladder: Sequence[int] = LADDER
) -> list[Check]:
    """`ladder`: concurrent streams of the token-rate check. Raises EngineError, CellError."""
    with known_server(GAP_MS, log) as server:
        say("time stamps ...")
        checks = _time_stamps(server, workers, min(max(needs.streams, 16), 512))
        say("the send schedule ...")
        checks += _schedule(server, workers, max(needs.rate_rps, 20.0))
        say("token rate ...")
        checks += _token_rate(server, workers, needs.tok_per_s, ladder)
    with known_server(SLOW_GAP_MS, log) as server:
        say("open streams ...")
        checks += _streams(server, workers, needs.streams)
    return checks


def _time_stamps(server: Server, workers: int, streams: int) -> list[Check]:
    seen = observe(server, [0.0] * streams * 3, TOKENS, workers, streams)
    errors_us = np.abs(seen.stamp_error_s) * 1e6
    p50, p99 = (float(np.percentile(errors_us, p)) if errors_us.size else None for p in (50, 99))
    where = f"{streams} streams, {GAP_MS:.0f} ms between tokens"
    cpu_us = seen.client.cpu_s / seen.tokens * 1e6 if seen.tokens else None
    return [
        Check("time-stamp error p50", p50, "us", "", p50 is not None, where),
        _at_most("time-stamp error p99", p99, "us", STAMP_P99_US),
        Check("client CPU per token", cpu_us, "us", "", cpu_us is not None, f"{workers} worker(s)"),
    ]


def _schedule(server: Server, workers: int, rate_rps: float) -> list[Check]:
    times = poisson(round(rate_rps * SECONDS), rate_rps, seed=1)
    seen = observe(server, times, 2, workers, None)
    errors_ms = seen.send_error_s * 1e3
    p50, p99 = float(np.percentile(errors_ms, 50)), float(np.percentile(errors_ms, 99))
    planned, sent = dispersion(seen.intended_s, WINDOW_S), dispersion(seen.sent_s, WINDOW_S)
    drift = abs(sent / planned - 1)
    windows = SECONDS / WINDOW_S
    spread = 2 * (2 / windows) ** 0.5
    note = f"the schedule's: {planned:.3f}; a Poisson process: 1 +- {spread:.2f} in {windows:.0f} windows"
    return [
        Check("send-schedule error p50", p50, "ms", "", True, f"Poisson, {rate_rps:g} requests/s"),
        _at_most("send-schedule error p99", p99, "ms", SEND_P99_MS),
        Check("dispersion of arrivals", sent, "", f"{DISPERSION:.0%} off the schedule's", drift < DISPERSION, note),
        _at_most("failed requests", float(seen.failures), "", 0.0),
    ]


def _token_rate(server: Server, workers: int, needed: float, ladder: Sequence[int]) -> list[Check]:
    best, why = 0.0, "not limited up to here"
    for streams in ladder:
        seen = observe(server, [0.0] * streams * 2, TOKENS, workers, streams)
        if reason := _dishonest(seen):
            why = f"at {seen.tok_per_s:,.0f} tok/s {reason}"
            break
        best = seen.tok_per_s
    note = f"{why}; the server shares this machine, so the client alone can do more"
    return [Check("honest token rate", best, "tok/s", f"at least {needed:,.0f}", best >= needed, note)]


def _dishonest(seen: Observed) -> str | None:
    if seen.failures:
        return f"{seen.failures} of {seen.requests} requests failed"
    if seen.merged > MERGED_SHARE * seen.tokens:
        return f"{seen.merged / seen.tokens:.1%} of tokens were read with another"
    error_us = float(np.percentile(np.abs(seen.gap_error_s), 99) * 1e6)
    if error_us > STAMP_P99_US:
        return f"the p99 error of a gap is {error_us:,.0f} us"
    return None


def _streams(server: Server, workers: int, needed: int) -> list[Check]:
    most = 0
    for streams in sorted({needed, *STREAMS}):
        seen = observe(server, [0.0] * streams, 4, workers, None)
        if seen.failures:
            break
        most = streams
    return [Check("streams open at once", float(most), "", f"at least {needed:,}", most >= needed, "5,000 are tried")]
