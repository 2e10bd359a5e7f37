"""What a nightly gate gets wrong: python tests/benchmarks/gates.py

Row `rule`: values of starts drawn from a lognormal distribution, decided by the project's rule. A start's effect is
shared by all its metrics and load points (`shared`), by all metrics of a load point (`by scenario`), or by none
(`apart`). False alarms of equal nights (at most 5 % are meant), and how often a true +8 % of the ITL is found: by any
check of its p50, of its p99, and by the gate at all; by reference nights and start-to-start standard deviation. Beside
it one value against another, as a gate without intervals decides. `itl p99 only`: a gate on nothing else. `ab`: as many
starts of the candidate as of the reference, as `harness ab --starts` has.

The shares of the rule (families.py) were chosen on seeds 5 and 77; the figures in docs/ci.md are of seed 2026.

Row `stores`: nights of a simulated server in virtual time (roofline and continuous batching, as engine=simulated), as
studies, compared by the code of `harness compare`: gate on ITL p50 and p99, TTFT p99, throughput and accuracy together.
"""

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.comparison import Side
from harness.analysis.decision.gate_rule import decide
from harness.analysis.decision.gates import DECIDED_LATER, FAILED, Check, Gates
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.starts import start_change
from harness.compare.outcome import compare_groups
from harness.compare.sides import Group
from harness.engines.simulated.batching import ContinuousBatching, simulate
from harness.engines.simulated.roofline import HARDWARE, SCHEMES, SHAPES, Roofline
from harness.loadgen.traffic.arrivals import poisson
from harness.records.metrics import PERCENTILES
from tests.unit.report.synthetic_study import VARIANTS, build, parts

LIMIT, REGRESSION = 1.05, 1.08
LOAD_POINTS = 5
SPREADS = {
    "itl_ms_p50": 0.5,
    "itl_ms_p99": 1.0,
    "ttft_ms_p99": 2.0,
    "output_tok_per_s": 0.5,
}  # of the start's, within it
GATES = Gates(0.99, {"p50": 0.05, "p99": 0.05}, {"p99": 0.05}, 0.95)


@dataclass(frozen=True)
class Row:
    what: str
    nights: int
    start_sd: float
    false_alarms: float  # share of comparisons of equal nights that fail
    itl_p50: float  # share of comparisons in which a true +8 % fails a check of the metric
    itl_p99: float
    gate: float  # share of them that fail at all
    comparisons: int
    world: str = "shared"


# -- rule ----------------------------------------------------------------------------------------------------


def rule(
    nights: int, sd: float, comparisons: int, seed: int, world: str = "shared", only: str = "", candidates: int = 1
) -> Row:
    rng, sides = np.random.default_rng(seed), (nights, candidates)
    alarms = sum(bool(_failed(_decided(rng, sides, sd, 1.0, world, only))) for _ in range(comparisons))
    found = [_failed(_decided(rng, sides, sd, REGRESSION, world, only)) for _ in range(comparisons)]
    return _row("itl p99 only" if only else "rule" if candidates == 1 else "ab", nights, sd, alarms, found, world)


def _row(what: str, nights: int, sd: float, alarms: int, found: list[set[str]], world: str = "shared") -> Row:
    shares = (_share(found, "itl_ms_p50"), _share(found, "itl_ms_p99"), float(np.mean([bool(one) for one in found])))
    return Row(what, nights, sd, alarms / len(found), *shares, len(found), world)


def single_values(sd: float, comparisons: int, seed: int) -> Row:
    """One start of each, and the value decides: what a gate on one reference would be."""
    rng = np.random.default_rng(seed)

    def failed(slower: float) -> set[str]:
        a, b = _starts(rng, 1, sd, 1.0), _starts(rng, 1, sd, slower)
        return {m for m in SPREADS if m != "output_tok_per_s" and (b[m][0] / a[m][0] > LIMIT).any()}

    alarms = sum(bool(failed(1.0)) for _ in range(comparisons))
    found = [failed(REGRESSION) for _ in range(comparisons)]
    return _row("one value each", 1, sd, alarms, found)


def _starts(
    rng: np.random.Generator, count: int, sd: float, slower: float, world: str = "shared"
) -> dict[str, np.ndarray]:
    """{metric: [starts, load points]}"""
    points = (count, 1 if world == "shared" else LOAD_POINTS)
    common = rng.normal(0, sd, points)
    found = {}
    for metric, spread in SPREADS.items():
        of_start = rng.normal(0, sd, points) if world == "apart" else common
        logs = of_start + rng.normal(0, sd * spread, points) + rng.normal(0, sd * spread, (count, LOAD_POINTS))
        logs = logs + (np.log(slower) if metric.startswith("itl") else 0.0)
        found[metric] = np.exp(-logs if metric == "output_tok_per_s" else logs)
    return found


def _decided(
    rng: np.random.Generator, sides: tuple[int, int], sd: float, slower: float, world: str, only: str = ""
) -> list[Check]:
    """`sides`: starts of the reference and of the candidate."""
    a, b, found = _starts(rng, sides[0], sd, 1.0, world), _starts(rng, sides[1], sd, slower, world), []
    names = (tuple(f"A {n}" for n in range(sides[0])), tuple(f"B {n}" for n in range(sides[1])))
    for metric in [only] if only else SPREADS:
        lower = metric != "output_tok_per_s"
        points = range(LOAD_POINTS) if lower else [0]
        series = [(a[metric][:, p], b[metric][:, p]) for p in points]
        if lower:
            series.append((np.exp(np.log(a[metric]).mean(axis=1)), np.exp(np.log(b[metric]).mean(axis=1))))
        for position, (one, two) in enumerate(series):
            made, limit = start_change(one.tolist(), two.tolist(), names), LIMIT if lower else 0.95
            check = Check("max" if lower else "min", "", limit, made.estimate, DECIDED_LATER, "", metric, lower, made)
            found.append(replace(check, whole=position == len(series) - 1))
    if only:
        return decide(found, None)
    flips = rng.binomial(28, 0.5) / 28  # 28 of 1,400 items answered otherwise, as often better as worse
    recovery, half = 1 + 2 * 28 / 1400 / 0.6 * (flips - 0.5), 1.96 * np.sqrt(28) / 1400 / 0.6
    score = Estimate(recovery, recovery - half, recovery + half)
    check = Check("min-recovery", "", 0.99, score, DECIDED_LATER, metric="score", lower_is_better=False, whole=True)
    found.append(check)
    return decide(found, None)


def _failed(checks: list[Check]) -> set[str]:
    return {check.metric or check.gate for check in checks if check.status == FAILED}


def _share(found: list[set[str]], metric: str) -> float:
    return float(np.mean([metric in one for one in found]))


# -- stores ----------------------------------------------------------------------------------------------------

VARIANT = {"bf16": VARIANTS["bf16"]}
SCENARIO = {"chat_256_64": (256, 64)}
RATES = [8.0, 16.0]


def stores(pool: int, nights: int, sd: float, comparisons: int, seed: int) -> Row:
    """A pool of equal nights, and one of slower nights; each comparison draws its nights anew."""
    rng = np.random.default_rng(seed)
    template = parts(variants=VARIANT, scenarios=SCENARIO, rates=RATES, repeats=2)
    equal = [_night(template, rng, sd, 1.0, f"night_{n}") for n in range(pool)]
    slow = [_night(template, rng, sd, REGRESSION, f"slow_{n}") for n in range(max(1, pool // 3))]

    def failed(candidates: list) -> set[str]:
        drawn = rng.permutation(pool)
        references = tuple(equal[n] for n in drawn[:nights])
        candidate = candidates[rng.integers(len(candidates))] if candidates is slow else equal[drawn[nights]]
        outcome = compare_groups([Group(references, (candidate,))], GATES, False, REGRESSION - 1, "")
        return _failed(outcome.checks)

    alarms = sum(bool(failed(equal)) for _ in range(comparisons))
    found = [failed(slow) for _ in range(comparisons)]
    return _row("stores", nights, sd, alarms, found)


def _night(template: tuple, rng: np.random.Generator, sd: float, slower: float, name: str) -> Side:
    manifest, records, rows = template
    records, rows = copy.deepcopy(records), copy.deepcopy(rows)
    model = Roofline(HARDWARE["h100"], SHAPES["llama-3.1-8b"], SCHEMES["bf16"])
    factor = slower * float(np.exp(rng.normal(0, sd)))
    for record in records:
        record["started_at"] = name
        cell = record["cell"]
        if cell["kind"] == "load":
            record["result"] |= _measured(lambda batch: factor * model.step_s(batch), cell["point"], rng)
        elif cell.get("suite") == "mmlu":
            for row in rows[cell["key"]]:
                if rng.random() < 0.01:
                    row["scores"] = {metric: 1.0 - score for metric, score in row["scores"].items()}
    return Side(build(manifest, records, rows), "bf16", name)


def _measured(step_s: Callable, point: dict, rng: np.random.Generator) -> dict[str, float]:
    prompt, output = next(iter(SCENARIO.values()))
    seed = int(rng.integers(2**31))
    batching = ContinuousBatching(step_s, jitter=0.02, seed=seed)
    if point["profile"] == "server":
        arrivals = poisson(100, point["rate_rps"], 7)  # the same traffic every night
    else:
        arrivals = [0.0] * 64 if point["profile"] == "throughput" else [2.0 * n for n in range(16)]
    times = simulate(batching, [(at, prompt, output) for at in arrivals])
    ttft = [1e3 * (tokens[0] - at) for tokens, at in zip(times, arrivals, strict=True)]
    itl = 1e3 * np.concatenate([np.diff(tokens) for tokens in times])
    e2e = [1e3 * (tokens[-1] - at) for tokens, at in zip(times, arrivals, strict=True)]
    found = {"output_tok_per_s": len(times) * output / max(tokens[-1] for tokens in times)}
    for latency, values in (("ttft_ms", ttft), ("itl_ms", itl), ("e2e_ms", e2e)):
        found |= {f"{latency}_p{q}": float(np.percentile(values, q)) for q in PERCENTILES}
        found[f"{latency}_mean"] = float(np.mean(values))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="rule,worlds,ab,stores", help="rows, separated by commas")
    parser.add_argument("--comparisons", type=int, default=1000, help="a row; the row stores has a tenth")
    parser.add_argument("--nights", type=int, nargs="+", default=[3, 5, 6, 8, 12], help="of the reference")
    parser.add_argument("--starts", type=int, nargs="+", default=[4, 6, 8, 10], help="of each side, of the rows ab")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--pool", type=int, default=40, help="simulated nights of the row stores")
    parser.add_argument("--json", help="a file for the figures")
    options = parser.parse_args()
    rows: list[Row] = []
    heads = ("false alarms", "+8 % ITL p50", "+8 % ITL p99", "found at all")
    print(
        f"{'row':<16}{'world':<13}{'nights':>6}{'start sd':>10}"
        + "".join(f"{head:>14}" for head in heads)
        + f"{'n':>7}"
    )
    for row in _rows(options):
        rows.append(row)
        found = (row.false_alarms, row.itl_p50, row.itl_p99, row.gate)
        shares = "".join(f"{100 * share:>12.1f} %" for share in found)
        print(
            f"{row.what:<16}{row.world:<13}{row.nights:>6}{100 * row.start_sd:>8.1f} %{shares}{row.comparisons:>7}",
            flush=True,
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump([vars(row) for row in rows], file, indent=1)


def _rows(options: argparse.Namespace):
    only, n, seed = options.only.split(","), options.comparisons, options.seed
    for sd in (0.005, 0.01, 0.02) if "rule" in only else ():
        yield single_values(sd, n, seed)
        for nights in options.nights:
            yield rule(nights, sd, n, seed)
    if "worlds" in only:
        for world in ("by scenario", "apart"):
            yield from (rule(nights, 0.01, n, seed, world) for nights in options.nights)
        yield from (rule(nights, 0.01, n, seed, only="itl_ms_p99") for nights in options.nights)
    for sd in (0.01, 0.02) if "ab" in only else ():
        yield from (rule(starts, sd, n, seed, candidates=starts) for starts in options.starts)
    for sd in (0.005, 0.01) if "stores" in only else ():
        yield stores(options.pool, 5, sd, max(1, n // 10), seed)


if __name__ == "__main__":
    main()
