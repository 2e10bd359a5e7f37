import numpy as np
import pytest

from harness.config.workloads import LoadPoints
from harness.loadgen.profiles import PROFILES
from harness.loadgen.traffic.arrivals import ARRIVALS, constant, gamma, poisson, ramp
from harness.records.point import LoadPoint

LOAD = LoadPoints()


def dispersion(times: list[float], duration_s: float, window_s: float) -> float:
    """Index of dispersion of counts: variance / mean of the arrivals in a window."""
    counts = np.histogram(times, bins=np.arange(0.0, duration_s + window_s / 2, window_s))[0]
    return counts.var() / counts.mean()


@pytest.mark.parametrize(("rate_rps", "window_s"), [(20.0, 1.0), (20.0, 5.0), (0.2, 5.0)])
def test_poisson_arrivals_are_dispersed_as_poisson(rate_rps, window_s):
    """The index is 1 for a Poisson process, with a standard deviation of sqrt(2 / windows) and a little more.

    Over 8 seeds of 1000 windows that is 0.016: each seed lies within 0.2, and their mean within 0.1, but for an error
    of four standard deviations or more.
    """
    duration_s = 1000 * window_s
    found = [
        dispersion(poisson(round(duration_s * rate_rps), rate_rps, seed), duration_s, window_s) for seed in range(8)
    ]
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)
    assert found == pytest.approx([1.0] * 8, abs=0.2)


@pytest.mark.parametrize(
    ("name", "burstiness", "expected"), [("constant", 1, 0), ("gamma", 0.25, 4), ("gamma", 4, 0.25)]
)
def test_other_arrivals_are_not(name, burstiness, expected):
    """A renewal process has the index cv^2 of its gaps, 1 / shape, in windows of many gaps (Cox 1962)."""
    times = ARRIVALS[name](100_000, 20.0, burstiness, 3)
    assert dispersion(times, 5000.0, 5.0) == pytest.approx(expected, rel=0.3, abs=0.01)


@pytest.mark.parametrize("shape", [0.25, 1.0, 4.0])
def test_gamma_gaps_vary_as_their_shape_says(shape):
    gaps = np.diff(gamma(100_000, 20.0, shape, seed=4))
    assert gaps.std() / gaps.mean() == pytest.approx(1 / np.sqrt(shape), rel=0.02)
    assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0.0, abs=0.02)


def test_a_ramp_rises_as_asked():
    """2 to 6 requests/s over 10,000 s: each tenth of the time has its share of the 40,000, to 5 standard deviations."""
    times = np.array(ramp(40_000, 2.0, 6.0, seed=5))
    counts = np.histogram(times, bins=np.linspace(0.0, 10_000.0, 11))[0]
    expected = 1000 * np.linspace(2.2, 5.8, 10)
    assert counts.sum() == 40_000
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    assert (np.diff(times) > 0).all()


def test_a_ramp_may_fall_or_stay():
    falling = np.array(ramp(40_000, 6.0, 2.0, seed=5))
    assert (falling < 5000).mean() == pytest.approx(25 / 40, abs=0.02)
    assert ramp(100, 3.0, 3.0, seed=6) == pytest.approx(poisson(100, 3.0, seed=6))


def test_poisson_gaps_are_independent_and_exponential():
    gaps = np.diff(poisson(100_000, 20.0, seed=4))
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.02)
    assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("name", ["poisson", "gamma"])
def test_the_offered_rate_is_exact(name):
    """All arrivals lie in n / rate seconds, and on average over seeds fill it evenly."""
    schedules = np.array([ARRIVALS[name](32, 0.5, 1.0, seed) for seed in range(500)])
    assert schedules.min() > 0.0
    assert schedules.max() < 64.0
    assert (np.diff(schedules) > 0).all()
    expected = 64.0 * np.arange(1, 33) / 33  # order statistics of uniforms
    assert np.abs(schedules.mean(axis=0) - expected).max() < 2.0


def test_constant_arrivals():
    assert constant(3, 4.0) == [0.0, 0.25, 0.5]


def test_the_seed_decides():
    for name in ("poisson", "gamma"):
        assert ARRIVALS[name](10, 1.0, 2.0, 1) == ARRIVALS[name](10, 1.0, 2.0, 1) != ARRIVALS[name](10, 1.0, 2.0, 2)
    assert ramp(10, 1.0, 2.0, seed=1) != ramp(10, 1.0, 2.0, seed=2)


def test_profiles_schedule_what_their_name_says():
    def sent(point: LoadPoint) -> list[float]:
        return PROFILES[point.profile].send_times(point, LOAD, seed=1)

    assert sent(LoadPoint("single_stream", None, 3, concurrency=1)) == [0.0] * 3
    assert sent(LoadPoint("throughput", None, 3)) == [0.0] * 3
    assert sent(LoadPoint("concurrency", None, 3, concurrency=2)) == [0.0] * 3
    assert sent(LoadPoint("server", 2.0, 3)) == poisson(3, 2.0, seed=1)
    assert sent(LoadPoint("server", 2.0, 3, arrivals="constant")) == [0.0, 0.5, 1.0]
    assert sent(LoadPoint("server", 2.0, 3, arrivals="gamma", burstiness=0.5)) == gamma(3, 2.0, 0.5, seed=1)
    assert sent(LoadPoint("ramp", 2.0, 3, ramp_rps=(1.0, 3.0))) == ramp(3, 1.0, 3.0, seed=1)
    assert sent(LoadPoint("capacity", 2.0, 3, probe=0)) == poisson(3, 2.0, seed=1)
