"""How near the capacity search comes to the truth, and with how many probes: python tests/benchmarks/capacity.py

In virtual time, on the roofline-timed continuous batching of engine=simulated, so that a search of an hour takes a
second. The truth is what the search looks for: the rate at which 1 % of the values lie beyond the limit, in expectation
over runs of the length of a probe. It is read off the pooled shares of many such runs at a few rates around it, whose
seeds the search never sees; its own standard error is printed.

With --noise S every probe finds a server that is slower or faster by a log-normal factor of standard deviation S, with
--halved P a share P of them one of half the speed: a machine that others use too. The truth stays that of the machine
at its usual speed.

Per server: the share of searches within 3 % of the truth, the error's mean and 90th percentile, probes used, the
interval's coverage (90 % is meant) and half width, and how many searches were resolved.
"""

import argparse
import json
import math
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from harness.config.slo import Slo
from harness.config.workloads import CapacitySearch
from harness.engines.simulated.batching import ContinuousBatching, simulate
from harness.engines.simulated.roofline import HARDWARE, SCHEMES, SHAPES, Roofline
from harness.loadgen.capacity import Capacity, Probe, make_probe, search
from harness.loadgen.client.trace import Asked
from harness.loadgen.samples import Sample
from harness.loadgen.slo import ALLOWED_SHARE
from harness.loadgen.traffic.arrivals import poisson
from harness.records.point import LoadPoint

WITHIN = 0.03
JITTER = 0.03
TRUTH_SEED = 10**9
AROUND = (-0.03, -0.01, 0.01, 0.03)  # of ln rate: where the truth is read off


@dataclass(frozen=True)
class Case:
    name: str
    hardware: str
    scheme: str
    shape: str
    prompt_tokens: int
    output_tokens: int
    slo: Slo
    max_num_batched_tokens: int = 8192


CASES = (
    Case("8B BF16 chat, ITL 50", "h100", "bf16", "llama-3.1-8b", 512, 256, Slo.of(ttft_ms_p99=300.0, itl_ms_p99=50.0)),
    Case(
        "8B sparse FP8 chat, ITL 30",
        "h100",
        "sparse_fp8",
        "llama-3.1-8b",
        512,
        256,
        Slo.of(ttft_ms_p99=300.0, itl_ms_p99=30.0),
    ),
    Case(
        "8B INT4 RAG, TTFT 300", "a100", "int4", "llama-3.1-8b", 1024, 128, Slo.of(ttft_ms_p99=300.0, itl_ms_p99=None)
    ),
    Case("8B FP8 code, ITL 20", "h200", "fp8", "llama-3.1-8b", 256, 1024, Slo.of(ttft_ms_p99=500.0, itl_ms_p99=20.0)),
    Case(
        "70B FP8 chat, TTFT 1000 ITL 120",
        "h200",
        "fp8",
        "llama-3.1-70b",
        512,
        128,
        Slo.of(ttft_ms_p99=1000.0, itl_ms_p99=120.0),
    ),
    Case(
        "70B FP8 chat, chunks of 512, ITL 90",
        "h200",
        "fp8",
        "llama-3.1-70b",
        512,
        128,
        Slo.of(ttft_ms_p99=2000.0, itl_ms_p99=90.0),
        512,
    ),
)


def run(case: Case, rate_rps: float, requests: int, seed: int, speed: float = 1.0) -> list[Sample]:
    model = Roofline(HARDWARE[case.hardware], SHAPES[case.shape], SCHEMES[case.scheme])
    batching = ContinuousBatching(
        lambda *step: model.step_s(*step) / speed,
        max_num_batched_tokens=case.max_num_batched_tokens,
        kv_cache_tokens=model.kv_cache_tokens,
        jitter=JITTER,
        seed=seed,
    )
    arrivals = poisson(requests, rate_rps, seed)
    times = simulate(batching, [(at_s, case.prompt_tokens, case.output_tokens) for at_s in arrivals])
    asked = Asked(case.prompt_tokens, case.output_tokens)
    return [
        Sample(n, asked, at_s, at_s, 0.0, tokens[-1], np.array(tokens), 0, asked.prompt_tokens, len(tokens), None)
        for n, (at_s, tokens) in enumerate(zip(arrivals, times, strict=True))
    ]


@dataclass(frozen=True)
class Disturbed:
    """How the speed of a machine varies from probe to probe."""

    noise: float = 0.0  # standard deviation of ln speed
    halved: float = 0.0  # share of the probes

    def speed(self, seed: int, number: int) -> float:
        rng = np.random.default_rng((seed, number))
        return math.exp(rng.normal(0, self.noise)) * (0.5 if rng.random() < self.halved else 1.0)


def probe(case: Case, seed: int, disturbed: Disturbed, rate_rps: float, number: int, requests: int) -> Probe:
    samples = run(case, rate_rps, requests, 1000 * seed + number, disturbed.speed(seed, number))
    return make_probe(samples, LoadPoint("capacity", rate_rps, requests, probe=number), case.slo)


def one_search(
    case: Case, settings: CapacitySearch, start_share: float | None, truth: float, disturbed: Disturbed, seed: int
) -> Capacity:
    start = None if start_share is None else start_share * truth
    return search(partial(probe, case, seed, disturbed), settings, start)


def shares(case: Case, settings: CapacitySearch, job: tuple[float, int]) -> dict[str, tuple[int, int]]:
    rate, seed = job
    requests = round(max(settings.requests, rate * settings.duration_s))
    samples = run(case, rate, requests, TRUTH_SEED + seed)
    tallies = make_probe(samples, LoadPoint("capacity", rate, requests), case.slo).tallies
    return {name: (sum(tally.beyond), sum(tally.of)) for name, tally in tallies.items()}


def true_capacity(case: Case, settings: CapacitySearch, runs: int, pool: ProcessPoolExecutor) -> tuple[float, float]:
    """(rate, standard error of its logarithm)."""
    low, high = settings.min_rps, settings.max_rps
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        found = pool.map(partial(shares, case, settings), [(middle, seed) for seed in range(4)])
        low, high = (low, middle) if max(_pooled(list(found)).values()) > ALLOWED_SHARE else (middle, high)
    middle = math.sqrt(low * high)
    rates = [middle * math.exp(step) for step in AROUND]
    jobs = [(rate, 100 + 10_000 * index + seed) for index, rate in enumerate(rates) for seed in range(runs)]
    found = list(pool.map(partial(shares, case, settings), jobs, chunksize=4))
    groups = [found[index * runs : (index + 1) * runs] for index in range(len(rates))]
    rng = np.random.default_rng(0)
    draws = [[[group[i] for i in rng.integers(0, runs, runs)] for group in groups] for _ in range(200)]
    return _crossing(rates, groups), float(np.std([math.log(_crossing(rates, draw)) for draw in draws]))


def _crossing(rates: list[float], groups: list[list[dict[str, tuple[int, int]]]]) -> float:
    """Where the first metric reaches the share, on straight lines through ln share against ln rate."""
    pooled = [_pooled(group) for group in groups]
    found = []
    for name in pooled[0]:
        levels = np.maximum.accumulate([math.log(share[name] / ALLOWED_SHARE) for share in pooled])
        if levels[-1] > 0:
            found.append(math.exp(float(np.interp(0.0, levels, np.log(rates)))))
    return min(found, default=rates[-1])


def _pooled(runs: list[dict[str, tuple[int, int]]]) -> dict[str, float]:
    return {name: (sum(run[name][0] for run in runs) + 0.5) / sum(run[name][1] for run in runs) for name in runs[0]}


def report(case: Case, truth: float, truth_error: float, found: list[Capacity]) -> dict:
    errors = np.array([capacity.rps / truth - 1 for capacity in found if capacity.rps is not None])
    bounded = [c for c in found if c.rps is not None and c.low_rps is not None and c.high_rps is not None]
    return {
        "server": case.name,
        "capacity_rps": truth,
        "truth_error": truth_error,
        "within_3_percent": float(np.sum(np.abs(errors) <= WITHIN)) / len(found),
        "error_mean": float(errors.mean()),
        "error_p90": float(np.percentile(np.abs(errors), 90)),
        "probes_mean": float(np.mean([len(capacity.probes) for capacity in found])),
        "probes_max": max(len(capacity.probes) for capacity in found),
        "coverage": float(np.mean([c.low_rps <= truth <= c.high_rps for c in bounded])),
        "half_width": float(np.median([(c.high_rps - c.low_rps) / 2 / c.rps for c in bounded])),
        "resolved": float(np.mean([capacity.status == "resolved" for capacity in found])),
        "limited_by": sorted({capacity.limited_by or "" for capacity in found}),
        "minutes_mean": float(np.mean([sum(p.requests / p.rate_rps for p in c.probes) / 60 for c in found])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="searches per server")
    parser.add_argument("--truth-runs", type=int, default=60, help="runs at each rate that the truth is read off")
    parser.add_argument("--probes", type=int, default=8)
    parser.add_argument("--start", type=float, default=None, help="start of the search as a share of the truth")
    parser.add_argument("--cases", type=int, nargs="*", default=None, help="numbers from 0")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation of ln speed from probe to probe")
    parser.add_argument("--halved", type=float, default=0.0, help="share of the probes at half the speed")
    parser.add_argument("--verbose", action="store_true", help="every search")
    parser.add_argument("--json", default=None, help="file for the figures")
    options = parser.parse_args()
    settings = CapacitySearch(probes=options.probes)
    rows = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for case in [CASES[number] for number in options.cases or range(len(CASES))]:
            truth, truth_error = true_capacity(case, settings, options.truth_runs, pool)
            job = partial(one_search, case, settings, options.start, truth, Disturbed(options.noise, options.halved))
            found = list(pool.map(job, range(1, options.seeds + 1)))
            row = report(case, truth, truth_error, found)
            rows.append(row)
            print(
                f"{row['server']:34s} {truth:8.3f}/s ±{truth_error:.1%} {'+'.join(row['limited_by']):8s} "
                f"within 3 %: {row['within_3_percent']:4.0%}  error mean {row['error_mean']:+.1%} p90 "
                f"{row['error_p90']:.1%}  probes {row['probes_mean']:.1f} (max {row['probes_max']}, "
                f"{row['minutes_mean']:.0f} min)  interval ±{row['half_width']:.1%} covers {row['coverage']:.0%}  "
                f"resolved {row['resolved']:.0%}",
                flush=True,
            )
            for capacity in found if options.verbose else ():
                print(f"    {capacity.status:10s} {_number(capacity.rps)} [{_number(capacity.low_rps)}, ", end="")
                rates = ", ".join(f"{p.rate_rps:.3g} ({p.requests}: {p.ratio:.2f})" for p in capacity.probes)
                print(f"{_number(capacity.high_rps)}]  {rates}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"settings": asdict(settings), "servers": rows}, file, indent=2)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
