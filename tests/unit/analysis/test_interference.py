"""What neighbours change, against scipy's paired t interval, and what may run at once by it."""

import numpy as np
import pytest
from scipy import stats

from harness.analysis.interference import ALONE, METRICS, Reading, beside
from harness.records.interference import ACCURACY, LOAD, Beside, Change, Interference


def readings(kind: str, ratios: dict[str, list[float]], drift: float = 1.3) -> list[Reading]:
    """Rounds whose speed drifts, alone and beside neighbours that change it by `ratios`."""
    found = []
    for number in range(len(next(iter(ratios.values())))):
        alone = {metric: 10.0 * drift**number for metric in METRICS}
        busy = {metric: alone[metric] * ratios.get(metric, [1.0] * 9)[number] for metric in METRICS}
        found += [Reading(number, ALONE, alone), Reading(number, kind, busy)]
    return found


def test_the_interval_is_that_of_a_paired_t_test_on_the_logarithms():
    ratios = [1.02, 1.05, 0.99, 1.04, 1.03, 1.06]
    [found] = beside(readings(LOAD, {"itl_ms_p99": ratios}))
    p99 = next(change for change in found.changes if change.metric == "itl_ms_p99")
    low, high = stats.ttest_1samp(np.log(ratios), 0.0).confidence_interval(0.95)
    assert (p99.low, p99.high) == pytest.approx((np.exp(low), np.exp(high)))
    assert p99.ratio == pytest.approx(stats.gmean(ratios)), "a drift over the rounds is on both sides"


def test_a_figure_that_was_not_seen_is_left_out_and_shows_nothing():
    zero = [Reading(n, kind, dict.fromkeys(METRICS, 0.0)) for n in range(3) for kind in (ALONE, LOAD)]
    assert beside(zero) == (Beside(LOAD, ()),) and not Beside(LOAD, ()).harmless


def kind(name: str, low: float, high: float) -> Beside:
    return Beside(name, tuple(Change(metric, 10.0, (low * high) ** 0.5, low, high) for metric in METRICS))


@pytest.mark.parametrize(
    ("load", "accuracy", "decision"),
    [
        ((0.995, 1.005), (0.995, 1.005), "all"),
        ((0.995, 1.011), (0.995, 1.005), "accuracy"),  # the interval counts, not the ratio
        ((0.985, 1.005), (0.995, 1.005), "accuracy"),  # faster is a change too
        ((0.995, 1.005), (0.995, 1.02), "none"),
        ((1.05, 1.09), (1.02, 1.04), "none"),
    ],
)
def test_sessions_share_a_machine_where_nothing_changes_by_more_than_one_percent(load, accuracy, decision):
    result = Interference(sessions=2, beside=(kind(LOAD, *load), kind(ACCURACY, *accuracy)))
    assert result.colocate == decision
    assert Interference.from_json(result.to_json()) == result


def test_without_an_interval_nothing_is_shared():
    once = Beside(LOAD, (Change("itl_ms_p99", 10.0, 1.0),))
    assert Interference(beside=(once, Beside(ACCURACY, once.changes))).colocate == "none"
    assert Interference().colocate == "none"
    assert "no interval" in once.changes[0].words


def test_more_rounds_are_not_worth_it_where_the_whole_interval_is_beyond():
    assert kind(LOAD, 1.02, 1.04).harmful and not kind(LOAD, 0.99, 1.04).harmful
