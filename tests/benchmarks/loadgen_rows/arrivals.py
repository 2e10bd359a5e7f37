"""Whether arrivals at the server are the Poisson process that was asked for, with one worker and with eight.

Index of dispersion of the counts in windows of w seconds that tile the run: variance / mean (Cox & Lewis 1966), 1 for
a Poisson process. In one run of T seconds its standard error is sqrt(2 / (T / w - 1)): 0.32 for 20 windows of 5 s, so
one run cannot tell 0.9 from 1.1, and one long enough would take a day. But what the client adds to its own schedule
can be told, because the schedule is known:

    D = D(arrivals as received) - D(their schedule) + mean of D(schedule) over many seeds

the schedule being a control variate. The last term needs no server. Both its parts are in the note.
"""

import json
from collections.abc import Iterator

import numpy as np
from table import Row

from harness.loadgen.traffic.arrivals import poisson
from loadgen_rows.alone import OURS, observe
from loadgen_rows.setup import Setup

RATE_RPS, SECONDS = 100.0, 100.0
WINDOWS_S, WORKERS = (1.0, 5.0), (1, 8)
SEEDS = 1000
LEAST, MOST = 0.9, 1.1


def dispersion(setup: Setup) -> Iterator[Row]:
    requests = round(RATE_RPS * SECONDS)
    many = [np.array(poisson(requests, RATE_RPS, seed)) for seed in range(SEEDS)]
    expected = {window: float(np.mean([index(times, window) for times in many])) for window in WINDOWS_S}
    for workers in WORKERS:
        seen = observe(
            setup, f"dispersion-{workers}", gap_ms=5.0, requests=requests, tokens=2, rate_rps=RATE_RPS, workers=workers
        )
        lines = [json.loads(line) for line in (seen.folder / "tokens.jsonl").open()]
        planned = np.array([line["intended_s"] for line in lines])
        received = seen.truth.arrived_s - lines[0]["start_ns"] / 1e9
        for window in WINDOWS_S:
            got, meant = index(received, window), index(planned, window)
            value = got - meant + expected[window]
            ok = LEAST <= value <= MOST and len(received) == requests
            figure = f"dispersion of arrivals, {window:g} s windows, {workers} worker{'s' * (workers > 1)}"
            note = f"received {got:.4f}, its schedule {meant:.4f}, {SEEDS:,} schedules {expected[window]:.4f}; one run"
            yield Row(figure, "", f"{LEAST} to {MOST}", {OURS: [value]}, ok, note)


def index(times_s: np.ndarray, window_s: float) -> float:
    counts = np.histogram(times_s, np.arange(0.0, SECONDS + window_s / 2, window_s))[0]
    return float(counts.var(ddof=1) / counts.mean())
