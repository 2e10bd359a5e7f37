"""Every client at the same job, interleaved: A B C A B C, so that a drift of the machine falls on all.

CPU per token   (C - C_0) / (n - n_0), C the CPU seconds (user and system) of the client's whole process tree in a
                run of n tokens. C_0 and n_0 are those of the same command with one request a stream: imports,
                starting processes and opening connections are not charged; making prompts, parsing, computing
                metrics and writing the export are.
tokens/s        by the server's record, from the first token to the last
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
from loadgen_peers import Job, client
from loadgen_peers.ours import result
from table import Row

from harness.errors import HarnessError
from loadgen_rows.known_server import MODEL, known_server, truth
from loadgen_rows.process import run_measured
from loadgen_rows.setup import Setup
from loadgen_rows.stamps import stamp_errors

TOKENS, GAP_MS, TTFT_MS = 60, 20.0, 20.0
TIMEOUT_S = 240.0
# 120,000 tokens: the CPU time of one start differs from the next by 0.1 s, which is then less than 1 us a token.
REQUESTS_A_STREAM, LEAST_REQUESTS = 8, 2048
OURS = "harness"
CPU_REACH_US, STAMP_P50_REACH_US, STAMP_P99_REACH_US = 12.0, 15.0, 150.0


@dataclass(frozen=True)
class Run:
    """One run of one client. Percentiles over all its requests."""

    cpu_us_per_token: float
    stamp_us_p50: float
    stamp_us_p99: float
    gap_us_p50: float
    gap_us_p99: float
    tok_per_s: float
    requests: int
    unmatched: int  # requests that failed, or that client and server tell of differently
    server_late_us_p99: float
    client_cpu_us_per_token: float | None = None  # ours: of the worker, while tokens come in
    merged_share: float | None = None  # ours: token events that share a read


@dataclass
class Runs:
    of: dict[int, dict[str, list[Run]]] = field(default_factory=dict)  # by streams and client
    failures: list[str] = field(default_factory=list)


def compare(setup: Setup, names: Sequence[str], streams: Sequence[int], requests: int | None) -> Runs:
    runs = Runs({count: {name: [] for name in names} for count in streams})
    for repeat in range(setup.repeats):
        for count in streams:
            for name in names:
                setup.say(f"repeat {repeat + 1} of {setup.repeats}: {name}, {count} streams")
                try:
                    run = _run(setup, name, count, requests or default_requests(count), f"{name}-{count}-{repeat}")
                except HarnessError as error:
                    setup.say(f"{name} failed: {error}")
                    runs.failures.append(f"{name}, {count} streams, repeat {repeat + 1}: {error}")
                else:
                    runs.of[count][name].append(run)
    return runs


def default_requests(streams: int) -> int:
    return max(REQUESTS_A_STREAM * streams, LEAST_REQUESTS)


def _run(setup: Setup, name: str, streams: int, requests: int, label: str) -> Run:
    one = client(name)
    job = Job("", MODEL, setup.tokenizer, streams, requests, TOKENS, setup.folder(label))
    start = replace(job, requests=streams, folder=setup.folder(f"{label}-start"))
    cpu_s, seen = {}, {}
    for each in (start, job):
        with known_server(each.folder, GAP_MS, TTFT_MS) as known:
            bound = replace(each, base_url=known.base_url)
            command = one.command(setup.pythons[name], bound)
            cpu_s[each.requests] = run_measured(command, each.folder / "client.log", TIMEOUT_S).cpu_s
        seen[each.requests] = truth(known)
    tokens = seen[requests].tokens - seen[streams].tokens
    if tokens <= 0:
        raise HarnessError(f"{name}: the server sent no tokens; its log: {job.folder / 'client.log'}")
    errors = stamp_errors(one.reported(job), seen[requests].sent_ns)
    if not errors.gap_us.size:
        raise HarnessError(f"{name}: its export has no request that the server knows, in {job.folder}")
    run = Run(
        cpu_us_per_token=(cpu_s[requests] - cpu_s[streams]) / tokens * 1e6,
        stamp_us_p50=float(np.percentile(errors.stamp_us, 50)),
        stamp_us_p99=float(np.percentile(errors.stamp_us, 99)),
        gap_us_p50=float(np.percentile(errors.gap_us, 50)),
        gap_us_p99=float(np.percentile(errors.gap_us, 99)),
        tok_per_s=seen[requests].tok_per_s,
        requests=requests,
        unmatched=errors.unmatched,
        server_late_us_p99=float(np.percentile(seen[requests].late_s, 99)) * 1e6,
    )
    if name != OURS:
        return run
    found = result(job.folder)
    return replace(
        run,
        client_cpu_us_per_token=found["client_cpu_s"] / found["token_events"] * 1e6,
        merged_share=found["merged_events"] / found["token_events"],
    )


def rows(runs: Runs) -> Iterator[Row]:
    for streams, clients in runs.of.items():
        at = f"{streams} streams"
        yield _cpu(clients, at)
        yield _row(clients, "client_cpu_us_per_token", f"of it while tokens come in, {at}", "us")
        yield _row(clients, "stamp_us_p50", f"time-stamp error p50, {at}", "us", STAMP_P50_REACH_US)
        yield _row(clients, "stamp_us_p99", f"time-stamp error p99, {at}", "us", STAMP_P99_REACH_US)
        yield _row(clients, "gap_us_p50", f"gap error p50, {at}", "us")
        yield _row(clients, "gap_us_p99", f"gap error p99, {at}", "us")
        yield _row(clients, "tok_per_s", f"tokens/s reached, {at}", "")
        yield _row(clients, "unmatched", f"requests failed or not accounted for, {at}", "")
        yield _row(clients, "server_late_us_p99", f"(server's own lateness p99, {at})", "us")


def _row(clients: dict[str, list[Run]], name: str, figure: str, unit: str, reach: float | None = None) -> Row:
    values = {who: [getattr(run, name) for run in runs] for who, runs in clients.items()}
    values = {who: [value for value in found if value is not None] for who, found in values.items()}
    ours = values.get(OURS)
    ok = median(ours) <= reach if reach is not None and ours else None
    return Row(figure, unit, "" if reach is None else f"at most {reach:g} {unit}", values, ok)


def _cpu(clients: dict[str, list[Run]], at: str) -> Row:
    row = _row(clients, "cpu_us_per_token", f"CPU per streamed token, {at}", "us")
    ours, peers = row.medians.get(OURS), [value for who, value in row.medians.items() if who != OURS]
    limit = min([CPU_REACH_US, *(value / 2 for value in peers)])
    reach = f"at most {CPU_REACH_US:g} us and half of the best peer"
    return replace(row, reach=reach, ok=None if ours is None else 0 < ours <= limit)
