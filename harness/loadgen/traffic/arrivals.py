"""When requests are meant to be sent: seconds since the cell's start, drawn before anything is sent.

One schedule comes from one seed (NumPy's PCG64), whatever the number of client processes. n requests at a rate r
always fill T = n / r seconds, so that the offered rate, the axis that variants are compared on, is exact: gaps drawn
independently would miss it by 18 % (1/sqrt(n)) with 32 Poisson arrivals, one time in three.
"""

from collections.abc import Callable

import numpy as np

from harness.errors import ConfigError, did_you_mean


def poisson(requests: int, rate_rps: float, seed: int) -> list[float]:
    """A Poisson process conditioned on exactly `requests` arrivals within T = requests / rate_rps.

    The arrival times of a Poisson process given N(T) = n are distributed as n sorted uniforms on [0, T], which are
    the partial sums of n + 1 exponential gaps divided by their total (Devroye 1986, V.2.1).
    """
    return (_normalised(_generator(seed).exponential(size=requests + 1)) * (requests / rate_rps)).tolist()


def constant(requests: int, rate_rps: float) -> list[float]:
    """One request every 1/rate seconds, the first at once."""
    return [index / rate_rps for index in range(requests)]


def gamma(requests: int, rate_rps: float, burstiness: float, seed: int) -> list[float]:
    """Gamma distributed gaps of shape `burstiness`, the meaning of vLLM's `bench serve --burstiness`.

    1 is Poisson; below 1 requests come in bursts, above 1 they are more even. As for Poisson, n + 1 gaps are divided
    by their total: they are then Dirichlet(k, ..., k) distributed, and their coefficient of variation is
    sqrt(n / ((n + 1) k + 1)), which is 1 / sqrt(k) for many requests.
    """
    return (_normalised(_generator(seed).gamma(burstiness, size=requests + 1)) * (requests / rate_rps)).tolist()


def ramp(requests: int, from_rps: float, to_rps: float, seed: int) -> list[float]:
    """A Poisson process whose rate goes evenly from a to b within T = 2 n / (a + b), conditioned on its n arrivals.

    With the rate a + (b - a) t / T, the share of arrivals up to t is u = (a t + (b - a) t^2 / (2 T)) / n. Given their
    number, arrivals are sorted uniforms u carried back through it (Lewis and Shedler 1979, inversion):
    t = T u (a + b) / (a + sqrt(a^2 + u (b^2 - a^2))), in the form that holds for a = b too.
    """
    share = _normalised(_generator(seed).exponential(size=requests + 1))
    duration_s = 2 * requests / (from_rps + to_rps)
    root = np.sqrt(from_rps**2 + share * (to_rps**2 - from_rps**2))
    return (duration_s * share * (from_rps + to_rps) / (from_rps + root)).tolist()


# (requests, rate_rps, burstiness, seed) -> send times
ARRIVALS: dict[str, Callable[[int, float, float, int], list[float]]] = {
    "poisson": lambda requests, rate_rps, burstiness, seed: poisson(requests, rate_rps, seed),
    "constant": lambda requests, rate_rps, burstiness, seed: constant(requests, rate_rps),
    "gamma": gamma,
}


def check_arrivals(name: str, burstiness: float) -> None:
    """Raises ConfigError for an unknown process, and for a burstiness that it cannot have."""
    if name not in ARRIVALS:
        raise ConfigError(f"load.arrivals: no process {name!r}{did_you_mean(name, list(ARRIVALS))}")
    if not 0 < burstiness < float("inf"):
        raise ConfigError(f"load.burstiness: a number above 0, got {burstiness:g}")
    if name != "gamma" and burstiness != 1:
        raise ConfigError(f"load.burstiness {burstiness:g} has no meaning for {name} arrivals; set load.arrivals=gamma")


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _normalised(gaps: np.ndarray) -> np.ndarray:
    """Partial sums of the gaps as shares of their total, the last one (which is 1) left out."""
    sums = np.cumsum(gaps)
    return sums[:-1] / sums[-1]
