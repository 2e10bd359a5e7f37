"""What only this harness's client is asked: its limits, its sends, and what it says when it was itself at fault."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from loadgen_peers.ours import command, reported, result
from loadgen_peers.ours_cell import Cell
from table import Row

from harness.errors import HarnessError
from loadgen_rows.known_server import MODEL, Truth, known_server, truth
from loadgen_rows.process import Usage, run_measured
from loadgen_rows.setup import Setup, two_cores
from loadgen_rows.stamps import merged_share

OURS = "harness"
TIMEOUT_S = 400.0
GAP_MS, TTFT_MS = 20.0, 20.0

LADDER = (400, 640, 900, 1250, 1500, 1800, 2200, 2700)  # streams of 50 tok/s
MERGED_SHARE = 0.001
MANY_STREAMS, SLOW_GAP_MS, MANY_TOKENS = 5000, 500.0, 10
LAG_RPS, LAG_S = 200.0, 20.0
MANY_REQUESTS, FEW_TOKENS = 100_000, 16
STALL_S, STALL_RPS, STALL_REQUESTS = 0.2, 100.0, 500


@dataclass(frozen=True)
class Seen:
    result: dict  # of the cell
    usage: Usage
    truth: Truth
    folder: Path


def observe(
    setup: Setup,
    label: str,
    *,
    gap_ms: float = GAP_MS,
    ttft_ms: float = TTFT_MS,
    memory: bool = False,
    apart: bool = False,
    **cell,
) -> Seen:
    """`apart`: the client on one core, the server on the others."""
    folder = setup.folder(label)
    client_cores, server_cores = (two_cores() or (None, None)) if apart else (None, None)
    with known_server(folder, gap_ms, ttft_ms, server_cores) as known:
        asked = Cell(base_url=known.base_url, model=MODEL, tokenizer=str(setup.tokenizer), **cell)
        line = command(asked, folder)
        usage = run_measured(line, folder / "client.log", TIMEOUT_S, memory=memory, cores=client_cores)
    return Seen(result(folder), usage, truth(known), folder)


def token_rate(setup: Setup) -> Iterator[Row]:
    """Streams of 50 tok/s, ever more of them, until tokens share reads or the rate grows no more."""
    if two_cores() is None:
        raise HarnessError("this machine has one core: the client and the server would share it")
    rates, why = [], []
    for repeat in range(setup.repeats):
        best, reason = 0.0, "honest up to the end of the ladder"
        for streams in LADDER:
            seen = observe(
                setup, f"rate-{repeat}-{streams}", apart=True, requests=streams * 4, tokens=60, concurrency=streams
            )
            found, rate = seen.result, seen.truth.tok_per_s
            merged = merged_share(reported(seen.folder), seen.truth.sent_ns)
            setup.say(f"  {streams} streams: {rate:,.0f} tok/s, {merged:.2%} of tokens in a read with another")
            if found["requests_failed"] or merged > MERGED_SHARE:
                reason = f"at {rate:,.0f} tok/s {merged:.2%} of tokens merged, {found['requests_failed']} failed"
                break
            if rate < 1.02 * best:
                late_ms = float(np.percentile(seen.truth.late_s, 99)) * 1e3
                reason = f"no more than {best:,.0f} came from the server, then {late_ms:.1f} ms late at p99"
                break
            best = rate
        rates.append(best)
        why.append(reason)
    ok = median(rates) >= 40_000
    yield Row("honest token rate, client on one core", "tok/s", "40,000", {OURS: rates}, ok, "; ".join(why))


def streams(setup: Setup) -> Iterator[Row]:
    """Per stream: what the client's memory grew by over a run of one stream, whole tree or workers, the larger."""
    failures, at_once, kb = [], [], []
    options = {"gap_ms": SLOW_GAP_MS, "tokens": MANY_TOKENS, "memory": True, "keep_tokens": False}
    for repeat in range(setup.repeats):
        one = observe(setup, f"streams-{repeat}-1", requests=1, **options)
        many = observe(setup, f"streams-{repeat}", requests=MANY_STREAMS, **options)
        failures.append(float(MANY_STREAMS - many.result["requests_completed"]))
        grown = max(
            many.usage.peak_bytes - one.usage.peak_bytes,
            many.usage.children_peak_bytes - one.usage.children_peak_bytes,
        )
        kb.append(grown / MANY_STREAMS / 1e3)
        at_once.append(float(_most_open(many.truth)))
    all_open = min(at_once) == MANY_STREAMS
    yield Row("5,000 streams, requests that failed", "", "none", {OURS: failures}, not any(failures) and all_open,
              f"open at the same moment: {min(at_once):,.0f}")  # fmt: skip
    yield Row("5,000 streams, client memory of each", "KB", "at most 40 KB", {OURS: kb}, median(kb) <= 40,
              "the kernel's socket buffers are not in it")  # fmt: skip


def _most_open(seen: Truth) -> int:
    """Requests between their first token and their last, at the fullest moment."""
    firsts = np.sort([sent[0] for sent in seen.sent_ns.values()])
    lasts = np.sort([sent[-1] for sent in seen.sent_ns.values()])
    return int((np.arange(1, len(firsts) + 1) - np.searchsorted(lasts, firsts)).max())


def send_lag(setup: Setup) -> Iterator[Row]:
    lags = []
    for repeat in range(setup.repeats):
        requests = round(LAG_RPS * LAG_S)
        seen = observe(
            setup, f"lag-{repeat}", requests=requests, tokens=FEW_TOKENS, rate_rps=LAG_RPS, keep_tokens=False
        )
        lags.append(seen.result["send_lag_ms_p99"])
    ok = median(lags) <= 1.0
    yield Row("send lag p99 at 200 requests/s", "ms", "at most 1 ms", {OURS: lags}, ok)


def memory(setup: Setup) -> Iterator[Row]:
    """measure() with its rows written to disk, as a sweep does it; parent and worker together."""
    seen = observe(
        setup,
        "memory",
        gap_ms=1.0,
        ttft_ms=5.0,
        memory=True,
        requests=MANY_REQUESTS,
        tokens=FEW_TOKENS,
        concurrency=64,
        keep_tokens=False,
    )
    done = seen.result["requests_completed"]
    peak_mb = seen.usage.peak_bytes / 1e6
    note = f"{done:,} completed, {seen.result['token_events']:,} tokens, {seen.usage.wall_s:.0f} s; one run"
    ok = done == MANY_REQUESTS and peak_mb < 500
    yield Row("memory of a 100,000-request run", "MB", "under 500 MB", {OURS: [peak_mb]}, ok, note)


def stall(setup: Setup) -> Iterator[Row]:
    """SIGSTOP to the worker, half-way through an open loop, against the same run without it."""
    p99, flags, ok, from_send = [], [], True, []
    options = {"requests": STALL_REQUESTS, "tokens": 8, "rate_rps": STALL_RPS, "keep_tokens": False}
    for repeat in range(setup.repeats):
        calm = observe(setup, f"stall-{repeat}-calm", **options).result
        stalled = observe(setup, f"stall-{repeat}", stall_s=STALL_S, **options).result
        added_ms = stalled["ttft_ms_p99"] - calm["ttft_ms_p99"]
        p99.append(added_ms)
        from_send.append(stalled["ttft_from_send_ms_p99"] - calm["ttft_from_send_ms_p99"])
        invalid = [{flag["code"] for flag in found["flags"] if flag["level"] == "invalid"} for found in (calm, stalled)]
        flags.append(f"{sorted(invalid[1]) or 'none'} (calm run: {sorted(invalid[0]) or 'none'})")
        # 20 of the 500 requests were due in the stall, and waited up to 200 ms: the p99 is about 150
        ok = ok and added_ms >= STALL_S * 1e3 / 2 and "client_lag" in invalid[1] and not invalid[0]
    grown_ms = median(from_send)
    note = f"p99 from the actual send grew by {grown_ms:.3g} ms; flags that make the cell invalid: {flags[-1]}"
    yield Row("client stalled for 200 ms: TTFT p99 from the intended send grows by", "ms", "it shows, and is flagged",
              {OURS: p99}, ok, note)  # fmt: skip
