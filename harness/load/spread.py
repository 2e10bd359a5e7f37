"""How a latency is spread over its values: mean and percentiles in milliseconds, from seconds."""

import numpy as np
from numpy.typing import ArrayLike

from harness.records.metrics import PERCENTILES


def spread_ms(name: str, seconds: ArrayLike, percentiles: tuple[int, ...] = PERCENTILES) -> dict[str, float | None]:
    """{name_mean, name_p50, ...}; None without values. Percentiles interpolate linearly.

    An array of float64 is reordered in place: copies of the gaps of a long run would double its memory.
    """
    values = np.asarray(seconds, dtype=np.float64)
    names = (f"{name}_mean", *(f"{name}_p{percent}" for percent in percentiles))
    if not values.size:
        return dict.fromkeys(names)
    found = (values.mean(), *np.percentile(values, percentiles, overwrite_input=True))
    return {name: float(value) * 1e3 for name, value in zip(names, found, strict=True)}


def percentile_ms(seconds: ArrayLike, percent: float) -> float | None:
    values = np.asarray(seconds, dtype=np.float64)
    return float(np.percentile(values, percent)) * 1e3 if values.size else None
