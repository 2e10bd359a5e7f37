"""Do 95 % intervals of speed ratios hold the truth, when runs differ by more than the requests of one run show?

    python tests/benchmarks/speed_intervals.py [--studies N] [--json FILE]

Simulated studies of two variants in three scenarios, through the analysis of a report: each run has a factor of its own
(run noise, half of its variance shared by the scenarios of a repeat). Prints the coverage, and the mean width over that
of Welch's interval on the geometric means of the repeats (scipy's). An interval that misses the true ratio of 1.25
would as often call equal variants different. "pooled requests" is what ran before: the requests of all repeats
resampled, as if they were independent. Exit code 1 when a coverage lies outside of 93 to 98 % by more than two standard
errors, or a width is above 1.3.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats
from table import Row, markdown

from harness.analysis.speed.capacity import mean_gain, searched_capacity, with_error
from harness.analysis.speed.performance import PointResult, mean_ratio
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Measured
from harness.records.cell import Cell
from harness.records.load_result import CapacityResult, LoadResult
from harness.records.point import LoadPoint

SCENARIOS = ("chat", "rag", "code")
TRUTH = 1.25
NOISES = (0.005, 0.01, 0.03)
REPEATS = (2, 3, 5)
SEARCH_ERROR = 0.02  # standard error of one search, by itself
LOW, HIGH, WIDEST, SIGMAS = 0.93, 0.98, 1.3, 2
REQUESTS, REQUEST_NOISE = 32, 0.01  # of the pooled bootstrap
RESAMPLES = 400

Values = np.ndarray  # [repeats, scenarios]


@dataclass(frozen=True)
class World:
    kind: str
    noise: float
    repeats: int


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated, of each world")
    parser.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args()
    rows = [
        judged(World(kind, noise, repeats), options.studies) for kind, noise, repeats in product(KINDS, NOISES, REPEATS)
    ]
    print(markdown(rows, {name: name for name in rows[0].values}))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 1 if any(row.ok is False for row in rows) else 0


def judged(world: World, studies: int) -> Row:
    """A row: coverage in percent, and relative width."""
    rng = np.random.default_rng([int(1e4 * world.noise), world.repeats, list(KINDS).index(world.kind)])
    hits, widths, reference = 0, [], []
    for _ in range(studies):
        base, own = (runs(rng, world) for _ in range(2))
        found, per_repeat = KINDS[world.kind](rng, base, own)
        if found.bounds is None:
            continue
        low, high = np.log(found.bounds)
        theirs = stats.ttest_ind(*per_repeat, equal_var=False).confidence_interval(0.95)
        hits += low <= np.log(TRUTH) <= high
        widths.append(high - low)
        reference.append(theirs.high - theirs.low)
    coverage, width = hits / studies, float(np.mean(widths) / np.mean(reference))
    slack = SIGMAS * np.sqrt(0.95 * 0.05 / studies)
    before = world.kind == "pooled requests"
    ok = None if before else bool(LOW - slack <= coverage <= HIGH + slack and width <= WIDEST)
    figure = f"{world.kind}, run noise {100 * world.noise:g} %, {world.repeats} repeats"
    values = {"coverage, %": [100 * coverage], "width / Welch": [width]}
    return Row(figure, "", "" if before else "93 to 98 %, <= 1.3", values, ok)


def runs(rng: np.random.Generator, world: World) -> Values:
    """ln of each run's factor: half of the variance is of the repeat, half of the run."""
    shape = (world.repeats, len(SCENARIOS))
    half = world.noise / np.sqrt(2)
    return rng.normal(0, half, (world.repeats, 1)) + rng.normal(0, half, shape)


def single_stream(rng: np.random.Generator, base: Values, own: Values) -> tuple[Estimate, tuple[Values, Values]]:
    times = np.log([100.0, 250.0, 900.0])
    sides = [times + np.log(TRUTH) + base, times + own]
    points = [_points("single_stream", "e2e_ms_p50", np.exp(side)) for side in sides]
    return _known(mean_ratio(*points, "e2e_ms_p50")), (sides[0].mean(axis=1), sides[1].mean(axis=1))


def throughput(rng: np.random.Generator, base: Values, own: Values) -> tuple[Estimate, tuple[Values, Values]]:
    rates = np.log([5000.0, 3000.0, 8000.0])
    sides = [rates + np.log(TRUTH) + own, rates + base]
    points = [_points("throughput", "output_tok_per_s", np.exp(side)) for side in sides]
    return _known(mean_ratio(*points, "output_tok_per_s")), (sides[0].mean(axis=1), sides[1].mean(axis=1))


def searches(rng: np.random.Generator, base: Values, own: Values) -> tuple[Estimate, tuple[Values, Values]]:
    """Each search adds its own error to the run's, and states it."""
    rates = np.log([12.0, 6.0, 20.0])
    sides = [rates + shift + side + rng.normal(0, SEARCH_ERROR, side.shape) for shift, side in
             ((np.log(TRUTH), own), (0.0, base))]  # fmt: skip
    readings = [[searched_capacity(_search(side[:, i])) for i in range(len(SCENARIOS))] for side in sides]
    numerators, denominators = ([reading for reading in side if reading] for side in readings)
    return mean_gain(denominators, numerators).estimate, (sides[0].mean(axis=1), sides[1].mean(axis=1))


def ladders(rng: np.random.Generator, base: Values, own: Values) -> tuple[Estimate, tuple[Values, Values]]:
    """ITL grows in proportion to the rate, so a run that is 1 % faster keeps the SLO at a rate 1 % higher."""
    sides = [np.log([12.0, 6.0, 20.0]) + shift + side for shift, side in ((np.log(TRUTH), own), (0.0, base))]
    readings = [[with_error(_ladder(np.exp(side[:, i])), {"itl_ms_p99": 50.0}) for i in range(len(SCENARIOS))]
                for side in sides]  # fmt: skip
    per_repeat = tuple(
        np.mean([np.log([rate for _, rate in reading.rates]) for reading in side], axis=0) for side in readings
    )
    return mean_gain(readings[1], readings[0]).estimate, (per_repeat[0], per_repeat[1])


def pooled(rng: np.random.Generator, base: Values, own: Values) -> tuple[Estimate, tuple[Values, Values]]:
    """What was done before: the medians of all repeats' requests, resampled."""
    draws = []
    for side, shift in ((base, np.log(TRUTH)), (own, 0.0)):
        each = [shift + (run[:, None] + rng.normal(0, REQUEST_NOISE, (len(run), REQUESTS))).ravel() for run in side.T]
        picks = [x[rng.integers(0, len(x), (RESAMPLES, len(x)))] for x in each]
        draws.append(np.mean([np.median(pick, axis=1) for pick in picks], axis=0))
    ratio = draws[0] - draws[1]
    low, middle, high = np.exp(np.quantile(ratio, [0.025, 0.5, 0.975]))
    return Estimate(float(middle), float(low), float(high)), (base.mean(axis=1), own.mean(axis=1))


Kind = Callable[[np.random.Generator, Values, Values], tuple[Estimate, tuple[Values, Values]]]
KINDS: dict[str, Kind] = {
    "single stream": single_stream,
    "throughput": throughput,
    "capacity searches": searches,
    "rate ladders": ladders,
    "pooled requests": pooled,
}


def _known(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def _points(profile: str, metric: str, values: Values) -> list[PointResult]:
    return [_point(name, LoadPoint(profile), {metric: values[:, i]}) for i, name in enumerate(SCENARIOS)]


def _point(scenario: str, point: LoadPoint, metrics: dict[str, Values]) -> PointResult:
    measured = []
    for repeat in range(len(next(iter(metrics.values())))):
        cell = Cell(f"{point.slug}-{repeat}", "load", "v", scenario=scenario, point=point, repeat=repeat)
        result = LoadResult.from_json({name: float(values[repeat]) for name, values in metrics.items()})
        measured.append(Measured(cell=cell, result=result))
    return PointResult("v", scenario, point, True, tuple(measured))


def _ladder(capacities: Values) -> tuple[PointResult, ...]:
    """Rates at 0.6, 0.9, 1.1 and 1.4 of the mean, each met; the p99 ITL is 50 ms at each repeat's capacity."""
    rates = [share * float(capacities.mean()) for share in (0.6, 0.9, 1.1, 1.4)]
    return tuple(
        _point("chat", LoadPoint("server", rate, 64), {"itl_ms_p99": 50 * rate / capacities,
                                                       "served_rps": np.full(len(capacities), rate)})
        for rate in rates
    )  # fmt: skip


def _search(logs: Values) -> PointResult:
    half = float(stats.norm.ppf(0.95)) * SEARCH_ERROR
    measured = []
    for repeat, value in enumerate(logs):
        found = {"capacity_status": "resolved", "capacity_rps": float(np.exp(value))}
        found |= {f"capacity_rps_{end}": float(np.exp(value + sign * half)) for end, sign in (("low", -1), ("high", 1))}
        cell = Cell(f"search-{repeat}", "load", "v", scenario="chat", repeat=repeat)
        measured.append(Measured(cell=cell, result=CapacityResult.from_json(found)))
    return PointResult("v", "chat", LoadPoint("capacity"), True, tuple(measured))


if __name__ == "__main__":
    sys.exit(main())
