"""When requests are meant to be sent: seconds since the cell's start, drawn before anything is sent."""

import numpy as np


def poisson(requests: int, rate_rps: float, seed: int) -> list[float]:
    """A Poisson process conditioned on exactly `requests` arrivals within T = requests / rate_rps.

    The arrival times of a Poisson process given N(T) = n are distributed as n sorted uniforms on [0, T], which are
    the partial sums of n + 1 exponential gaps divided by their total (Devroye 1986, V.2.1). Conditioning keeps the
    gaps exponential and makes the offered rate exact: unconditioned, 32 requests would miss it by 18 % (1/sqrt(n))
    one time in three, and the rate is the axis that variants are compared on.
    """
    gaps = np.random.Generator(np.random.PCG64(seed)).exponential(size=requests + 1)
    return (np.cumsum(gaps)[:-1] / gaps.sum() * (requests / rate_rps)).tolist()


def constant(requests: int, rate_rps: float) -> list[float]:
    """One request every 1/rate seconds, the first at once."""
    return [index / rate_rps for index in range(requests)]
