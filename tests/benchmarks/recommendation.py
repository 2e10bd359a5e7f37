"""How often a recommendation ships the wrong variant: python -m tests.benchmarks.recommendation

Studies are drawn from worlds whose truth is known, and decided by the project's code (`recommend`, `compare`,
`cluster_interval`, `log_ratio_interval`). `wrong`: share of studies that ship a variant which is not acceptable, or not
faster than the baseline (at most 5 % is meant); `uncorrected`: the same with every interval read at 95 % for itself.

    at_margin   every variant is at the limit of one suite, equal on the others, and 1.3x as fast
    at_ratio    every variant is at the limit of the perplexity ratio, and 1.3x as fast
    no_gain     every variant equals the baseline, in accuracy and in speed
    mixed       half of them as in at_margin, half as in no_gain
    good        the first equals the baseline and is 1.3x as fast, the others are as in at_margin: `right` is the power
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace

import numpy as np

from harness.analysis import analyse
from harness.analysis.decision.criteria import LEVEL, candidates
from harness.analysis.decision.objective import objective_gains
from harness.analysis.decision.recommend import SHIP, recommend
from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.quality.paired import Paired, compare
from harness.analysis.quality.texts import TextDistance, TextGap
from harness.analysis.settings import DecisionSettings, Fidelity
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.clustered import cluster_interval, resampled_totals
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.repeats import log_ratio_interval
from harness.analysis.study import Study
from tests.unit.report.synthetic_study import synthetic_study

MARGIN, RATIO, SCORE, FASTER = 0.05, 1.02, 0.6, 1.3
DISAGREE, WINDOWS, TOKENS, SPREAD, RUN_SD, RESAMPLES = 0.06, 60, 128, 0.08, 0.02, 2000
MEASURES = ("latency", "throughput", "capacity")
BAD, EQUAL, GOOD = "bad", "equal", "good"


@dataclass(frozen=True)
class World:
    name: str
    kinds: tuple[str, ...]  # of each variant: BAD (at the limit, faster) | EQUAL (as good, as fast) | GOOD
    suites: int = 1
    fidelity: bool = False
    objectives: int = 1
    repeats: int = 3
    items: int = 600


@dataclass(frozen=True)
class Row:
    world: str
    variants: int
    criteria: str
    objectives: int
    repeats: int
    studies: int
    wrong: float
    uncorrected: float
    right: float | None


WORLDS = [
    *(World("at_margin", (BAD,) * k, suites) for k, suites in ((1, 1), (4, 1), (8, 1), (4, 3))),
    *(World("at_ratio", (BAD,) * k, 0, True) for k in (1, 4)),
    *(World("no_gain", (EQUAL,) * k, 1, False, m, r, 4000) for k, m, r in ((1, 1, 3), (4, 1, 3), (4, 3, 3), (4, 3, 5))),
    World("mixed", (BAD, BAD, EQUAL, EQUAL), 1, objectives=3, items=4000),
    World("good", (GOOD, BAD, BAD, BAD), 1, items=4000),
]


def suite_of(rng: np.random.Generator, world: World, base: np.ndarray, at_limit: bool) -> Paired:
    """0/1 scores: as many items lost as gained, or so many more lost that recovery is 1 - MARGIN."""
    lost = DISAGREE / 2 / SCORE + (MARGIN if at_limit else 0.0)
    gained = DISAGREE / 2 / (1 - SCORE)
    own = np.where(base > 0, rng.random(len(base)) >= lost, rng.random(len(base)) < gained)
    return Paired(base, own.astype(float), (None,) * len(base))


def text_of(rng: np.random.Generator, name: str, seed: int, at_limit: bool) -> TextDistance:
    """A perplexity ratio of RATIO or 1, over windows that differ."""
    change = rng.normal(-np.log(RATIO) if at_limit else 0.0, SPREAD, WINDOWS)
    totals = resampled_totals(np.column_stack([change, np.ones(WINDOWS)]), [seed], RESAMPLES)
    ratio = cluster_interval(float(np.exp(-change.mean())), np.exp(-totals[:, 0] / totals[:, 1]), WINDOWS)
    same = Estimate(0.0, 0.0, 0.0)
    gap = TextGap(same, 1.0, same, ratio, same)
    return TextDistance(name, "text", None, WINDOWS * TOKENS, WINDOWS, None, "", gap, None, None)


def drawn(world: World, study: Study, like: SuiteResult, seed: int) -> tuple[Study, dict, dict, dict]:
    """(study, suites, texts, speedups) of one study of the world."""
    rng = np.random.default_rng(seed)
    names = [f"v{number}" for number in range(len(world.kinds))]
    variants = {"bf16": study.variants["bf16"]}
    variants |= {name: replace(study.variants["fp8"], name=name, label=name) for name in names}
    suites = {}
    for number in range(world.suites):
        base = (rng.random(world.items) < SCORE).astype(float)
        for name, kind in zip(names, world.kinds, strict=True):
            paired = suite_of(rng, world, base, kind == BAD and number == 0)
            compared = compare(paired, MARGIN, [seed, number], RESAMPLES)
            suites[name, f"s{number}"] = replace(like, variant=name, comparison=compared, items=world.items)
    texts = {
        (name, "text"): text_of(rng, name, seed, kind == BAD)
        for name, kind in zip(names, world.kinds, strict=True)
        if world.fidelity
    }
    speeds = {name: {} for name in names}
    for measure in MEASURES[: world.objectives]:
        base_runs = np.exp(rng.normal(0, RUN_SD, world.repeats))
        for name, kind in zip(names, world.kinds, strict=True):
            runs = (1.0 if kind == EQUAL else FASTER) * np.exp(rng.normal(0, RUN_SD, world.repeats))
            speeds[name][measure] = log_ratio_interval(list(runs), list(base_runs))
    repeats = dict.fromkeys(MEASURES, world.repeats)
    gains = {
        name: Speedups(found["latency"], found.get("throughput"), found.get("capacity"), repeats=repeats)
        for name, found in speeds.items()
    }
    decision = DecisionSettings(
        margin=MARGIN,
        suites=tuple(f"s{number}" for number in range(world.suites)),
        fidelity=Fidelity(perplexity_ratio=RATIO if world.fidelity else None),
        objective=MEASURES[: world.objectives],
    )
    return replace(study, variants=variants, decision=decision), suites, texts, gains


def row(world: World, studies: int, study: Study, like: SuiteResult) -> Row:
    wrong = alone = right = 0
    for seed in range(studies):
        of, suites, texts, gains = drawn(world, study, like, seed)
        found = recommend(of, suites, {}, gains, (), texts)
        if found is not None and found.outcome == SHIP:
            good = world.kinds[int(found.ship[0][1:])] == GOOD
            wrong, right = wrong + (not good), right + good
        accepted = [
            name for name, one in candidates(of, suites, {}, texts).items() if one.p is not None and one.p <= LEVEL
        ]
        known = objective_gains(of, gains, accepted, ())
        better = {n for found in known.values() for n, gain in found.items() if gain.p is not None and gain.p <= LEVEL}
        alone += any(world.kinds[int(name[1:])] != GOOD for name in better)
    criteria = f"{world.suites} suite{'s' * (world.suites != 1)}" if world.suites else "perplexity ratio"
    power = right / studies if GOOD in world.kinds else None
    shape = (world.name, len(world.kinds), criteria, world.objectives, world.repeats, studies)
    return Row(*shape, wrong / studies, alone / studies, power)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--studies", type=int, default=2000, help="of each world")
    parser.add_argument("--json", help="write every row here")
    options = parser.parse_args()
    study = synthetic_study()
    like = analyse(study).suites["fp8", "mmlu"]
    print("| world | variants | criteria | objectives | repeats | wrong | uncorrected | right |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for world in WORLDS:
        found = row(world, options.studies, study, like)
        rows.append(found)
        right = "" if found.right is None else f"{100 * found.right:.1f} %"
        print(f"| {found.world} | {found.variants} | {found.criteria} | {found.objectives} | {found.repeats} | "
              f"{100 * found.wrong:.1f} % | {100 * found.uncorrected:.1f} % | {right} |", flush=True)  # fmt: skip
    if options.json:
        with open(options.json, "w") as file:
            json.dump([asdict(found) for found in rows], file, indent=1)
    return int(any(found.wrong > 0.05 + 3 * (0.05 * 0.95 / options.studies) ** 0.5 for found in rows))


if __name__ == "__main__":
    raise SystemExit(main())
