import numpy as np
import pytest

from harness.load import PROFILES, LoadPoint
from harness.load.arrivals import constant, poisson


@pytest.mark.parametrize("window_s", [1.0, 5.0])
def test_poisson_arrivals_are_dispersed_as_poisson(window_s):
    """Index of dispersion of counts, variance / mean, is 1 for a Poisson process (0 for constant arrivals)."""
    times = np.array(poisson(100_000, 20.0, seed=3))
    counts = np.histogram(times, bins=np.arange(0.0, 5000.0 + window_s, window_s))[0]
    assert 0.9 < counts.var() / counts.mean() < 1.1


def test_poisson_gaps_are_independent_and_exponential():
    gaps = np.diff(poisson(100_000, 20.0, seed=4))
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.02)
    assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0.0, abs=0.02)


def test_the_offered_rate_is_exact():
    """All arrivals lie in n / rate seconds, and on average over seeds fill it evenly."""
    schedules = np.array([poisson(32, 0.5, seed) for seed in range(500)])
    assert schedules.min() > 0.0
    assert schedules.max() < 64.0
    assert (np.diff(schedules) > 0).all()
    expected = 64.0 * np.arange(1, 33) / 33  # order statistics of uniforms
    assert np.abs(schedules.mean(axis=0) - expected).max() < 2.0


def test_the_seed_decides():
    assert poisson(10, 1.0, seed=1) == poisson(10, 1.0, seed=1)
    assert poisson(10, 1.0, seed=1) != poisson(10, 1.0, seed=2)


def test_constant_arrivals():
    assert constant(3, 4.0) == [0.0, 0.25, 0.5]


def test_profiles_schedule_what_their_name_says():
    assert PROFILES["single_stream"].concurrency == 1
    assert PROFILES["single_stream"].send_times(LoadPoint("single_stream", None, 3), seed=1) == [0.0] * 3
    assert PROFILES["throughput"].concurrency is None
    assert PROFILES["throughput"].send_times(LoadPoint("throughput", None, 3), seed=1) == [0.0] * 3
    assert PROFILES["server"].concurrency is None
    assert PROFILES["server"].send_times(LoadPoint("server", 2.0, 3), seed=1) == poisson(3, 2.0, seed=1)
