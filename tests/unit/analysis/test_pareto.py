"""Pareto fronts: which quality is on them, and what of a gain is known only as a bound."""

from dataclasses import replace
from math import exp, log

import pytest

from harness.analysis.decision.pareto import PERPLEXITY, RECOVERY, Bound, fronts, quality
from harness.analysis.quality.accuracy import AverageRecovery
from harness.analysis.quality.texts import TextDistance, TextGap, perplexity_ratios
from harness.analysis.speed.capacity import gain_bounds
from harness.analysis.speed.readings import AT_LEAST, BELOW, INTERPOLATED, Reading
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from tests.unit.report.synthetic_study import synthetic_study

AT_CHANCE = AverageRecovery(None, (), None, "the baseline is at chance on mmlu", left_out=("mmlu",))


def text(variant: str, suite: str, ratio: Estimate) -> tuple[tuple[str, str], TextDistance]:
    gap = TextGap(Estimate(0.1), 0.9, Estimate(0.9), ratio, Estimate(0.2))
    return (variant, suite), TextDistance(variant, suite, Estimate(12.0), 100, 4, 4, "prose", gap, None, None)


@pytest.fixture(scope="module")
def study():
    return synthetic_study()


@pytest.fixture(scope="module")
def kept(study):
    """Every suite at chance, and a text: FP8 1 % worse, the others 5 % and 40 %."""
    ratios = dict(zip(study.compared, (1.01, 1.05, 1.4), strict=False))
    texts = dict(text(name, "perplexity", Estimate(r, r - 0.005, r + 0.005)) for name, r in ratios.items())
    return quality(study, dict.fromkeys(study.compared, AT_CHANCE), texts)


def test_perplexity_takes_the_place_of_an_accuracy_at_chance_alone(study, kept):
    assert kept.name == PERPLEXITY and kept.lower_is_better
    known = {name: AverageRecovery(Estimate(0.9), ("mmlu",), None, None) for name in study.compared[:1]}
    mixed = quality(study, dict.fromkeys(study.compared, AT_CHANCE) | known, {})
    assert mixed.name == RECOVERY and list(mixed.values) == list(study.compared[:1])
    assert all("at chance" in reason for reason in mixed.absent.values())


def test_a_lower_perplexity_is_better_on_the_front(study, kept):
    """Of two that are as fast, the one with the lower perplexity dominates."""
    first, second, *others = study.compared
    fast = Speedups(Estimate(2.0, 1.9, 2.1), None, None)
    means = {name: Speedups(None, None, None) for name in others}
    means |= {first: fast, second: replace(fast, latency=Estimate(1.5, 1.45, 1.55))}
    latency = fronts(study, kept, means)[0]
    assert latency.quality == PERPLEXITY and set(latency.front) == {study.baseline, first}
    assert latency.dominated == {second: [first]}


def test_a_bound_of_a_gain_is_shown_beside_the_front(study, kept):
    first, second, *others = study.compared
    means = {name: Speedups(None, None, None) for name in others}
    means |= {first: Speedups(None, None, None, capacity_bounds=(1.4, None))}
    means |= {second: Speedups(None, None, None, capacity_bounds=(None, 0.8))}
    capacity = next(front for front in fronts(study, kept, means) if front.name == "capacity")
    assert capacity.bounds == {
        first: Bound(1.4, None, kept.values[first]),
        second: Bound(None, 0.8, kept.values[second]),
    }
    assert capacity.drawn and capacity.front == (study.baseline,) and not capacity.dominated
    assert set(capacity.absent) == set(others)


@pytest.mark.parametrize(
    ("base", "own", "expected"),
    [
        (Reading(10.0, INTERPOLATED, low=8.0, high=12.0), Reading(15.0, INTERPOLATED), (1.5, 1.5)),
        (Reading(10.0, INTERPOLATED, low=8.0, high=12.0), Reading(16.0, AT_LEAST, low=16.0), (1.6, None)),
        (Reading(10.0, INTERPOLATED, low=8.0, high=12.0), Reading(None, BELOW, high=4.0), (None, 0.5)),
        (None, Reading(10.0, INTERPOLATED), (None, None)),
    ],
)
def test_bounds_of_a_ratio_of_capacities(base, own, expected):
    assert gain_bounds(base, own) == tuple(value and pytest.approx(value) for value in expected)


def test_several_texts_give_the_geometric_mean_without_an_interval():
    one = dict([text("fp8", "a", Estimate(1.1, 1.0, 1.2))])
    assert perplexity_ratios(one) == {"fp8": Estimate(1.1, 1.0, 1.2)}
    both = perplexity_ratios(one | dict([text("fp8", "b", Estimate(1.3, 1.2, 1.4))]))["fp8"]
    assert both.value == pytest.approx(exp((log(1.1) + log(1.3)) / 2)) and not both.bounded
