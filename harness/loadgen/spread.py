"""How a latency is spread over its values: mean and percentiles in milliseconds, from seconds."""

import numpy as np
from numpy.typing import ArrayLike

from harness.records.load_result import Spread
from harness.records.metrics import PERCENTILES


def spread(counts: ArrayLike) -> Spread:
    """Return the mean and percentiles of counts, in their unit; None without values."""
    values = np.asarray(counts, dtype=np.float64)
    if not values.size:
        return Spread()
    return Spread(*map(float, (values.mean(), *np.percentile(values, PERCENTILES))))


def spread_ms(seconds: ArrayLike) -> Spread:
    """Return the mean and percentiles; None without values. Percentiles interpolate linearly.

    An array of float64 is reordered in place: copies of the gaps of a long run would double its memory.
    """
    values = np.asarray(seconds, dtype=np.float64)
    if not values.size:
        return Spread()
    found = (values.mean(), *np.percentile(values, PERCENTILES, overwrite_input=True))
    return Spread(*(float(value) * 1e3 for value in found))


def percentile_ms(seconds: ArrayLike, percent: float) -> float | None:
    values = np.asarray(seconds, dtype=np.float64)
    return float(np.percentile(values, percent)) * 1e3 if values.size else None
