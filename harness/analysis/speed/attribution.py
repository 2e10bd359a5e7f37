"""The attribution ladder: how much of a gain each step brings, as BF16 to FP8 (quantization) to sparse FP8 (sparsity).

The 2024 Sparse Llama study splits its gain so. Every step is a separate comparison, with the variant before it as the
baseline: the steps' values multiply to the whole, and each has the interval of its comparison.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

from harness.analysis.quality.accuracy import AverageRecovery, suite_results
from harness.analysis.settings import Step
from harness.analysis.speed.capacity import estimate, gain
from harness.analysis.speed.performance import against_baseline
from harness.analysis.speed.readings import Reading
from harness.analysis.speed.speedups import Speedups, speedups
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study

TOGETHER = "together"


@dataclass(frozen=True)
class Rung:
    """`end` against `start`. `speedups` over scenarios, `latency` and `throughput` by scenario."""

    start: str
    end: str
    adds: str
    recovery: AverageRecovery
    speedups: Speedups
    latency: dict[str, Estimate]  # E2E, single stream: start / end
    throughput: dict[str, Estimate]  # output tok/s: end / start


def steps(study: Study) -> tuple[Step, ...]:
    """The sweep's `report.attribution`, else baseline, quantized, quantized and sparse where the variants are these."""
    asked = tuple(step for step in study.settings.attribution if step.variant in study.variants)
    if study.settings.attribution:
        return asked if len(asked) > 1 else ()
    base = study.variants.get(study.baseline)
    for sparse in study.variants.values():
        for dense in study.variants.values():
            same = (dense.weights, dense.activations) == (sparse.weights, sparse.activations)
            if base and sparse.sparsity and not dense.sparsity and same and base.name not in (dense.name, sparse.name):
                return Step(base.name), Step(dense.name), Step(sparse.name)
    return ()


def rungs(study: Study, points: dict, capacities: dict[tuple[str, str], Reading]) -> tuple[Rung, ...]:
    """One for each step, then the whole way where there is more than one step."""
    chain = steps(study)
    pairs = [(a.variant, b.variant, b.adds or _adds(study, a.variant, b.variant)) for a, b in pairwise(chain)]
    if len(pairs) > 1:
        pairs.append((chain[0].variant, chain[-1].variant, TOGETHER))
    known = {  # of one set of scenarios, or the steps would not multiply to the whole
        (step.variant, scenario): capacities[step.variant, scenario]
        for scenario in study.scenarios
        for step in chain
        if all(estimate(capacities[other.variant, scenario]) for other in chain)
    }
    return tuple(_rung(study, points, known, *pair) for pair in pairs)


def _adds(study: Study, start: str, end: str) -> str:
    """What differs between two schemes, in words."""
    a, b = study.variants[start], study.variants[end]
    words = ["quantization"] if (a.weights, a.activations) != (b.weights, b.activations) else []
    words += ["sparsity"] if a.sparsity != b.sparsity else []
    return " and ".join(words) or "another checkpoint"


def _rung(study: Study, points: dict, capacities: dict, start: str, end: str, adds: str) -> Rung:
    pair = replace(study.with_scores_of_their_own(start, end), baseline=start)
    against = against_baseline(pair, points)
    gains = {(end, s): gain(capacities.get((start, s)), capacities.get((end, s))) for s in study.scenarios}
    own = {scenario: against[end, scenario] for scenario in study.scenarios}
    return Rung(
        start=start,
        end=end,
        adds=adds,
        recovery=suite_results(pair)[1][end],
        speedups=speedups(pair, points, capacities, gains)[end],
        latency={s: a.speedups["e2e_ms_p50"] for s, a in own.items() if "e2e_ms_p50" in a.speedups},
        throughput={s: a.throughput for s, a in own.items() if a.throughput},
    )


def cumulative(ladder: tuple[Rung, ...], scenario: str | None) -> list[tuple[str, Estimate]]:
    """(variant, speed-up over the first variant's single stream) along the ladder; `scenario` None: the mean of all."""
    found, value = [], 1.0
    for rung in ladder:
        if rung.adds == TOGETHER and len(ladder) > 1:
            continue
        part = rung.speedups.latency if scenario is None else rung.latency.get(scenario)
        if part is None:
            return []
        low, high = (None if bound is None else value * bound for bound in (part.low, part.high))
        value *= part.value
        found.append((rung.end, Estimate(value, low, high)))
    return [(ladder[0].start, Estimate(1.0)), *found] if found else []
