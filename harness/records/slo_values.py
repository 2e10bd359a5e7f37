"""What an SLO asks of requests, from their token times: the same from a client's samples and from stored rows."""

import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from harness.config.slo import PER_USER, Slo
from harness.records.request import Times

ITL_PERCENT = 99  # of a request's gaps, where a limit is of each request


class Answered(Protocol):
    """A request that completed. Latencies count from the intended send."""

    @property
    def ttft_s(self) -> float: ...

    @property
    def e2e_s(self) -> float: ...

    @property
    def generated(self) -> int: ...

    @property
    def tpot_s(self) -> float: ...

    @property
    def token_s(self) -> Times: ...


def request_value(request: Answered, metric: str, itl_percent: float = ITL_PERCENT) -> float | None:
    """Return a metric of one request; None where one token has no gaps."""
    if metric == "ttft_ms":
        return 1e3 * request.ttft_s
    if metric == "e2e_ms":
        return 1e3 * request.e2e_s
    if metric == "itl_ms":
        gaps = np.diff(np.asarray(request.token_s, dtype=np.float64))
        return 1e3 * float(np.percentile(gaps, itl_percent)) if gaps.size else None
    if request.generated < 2:
        return None
    tpot_s = request.tpot_s
    if metric == PER_USER:
        return 1 / tpot_s if tpot_s > 0 else math.inf
    return 1e3 * tpot_s


def within(request: Answered, metric: str, limit: float, itl_percent: float = ITL_PERCENT) -> bool:
    """Whether a request keeps a limit; one without gaps keeps every limit on them."""
    value = request_value(request, metric, itl_percent)
    return value is None or (value >= limit if metric == PER_USER else value <= limit)


def meets_each(request: Answered, slo: Slo) -> bool:
    """Whether a request meets all the limits of each request."""
    return all(within(request, metric, limit) for metric, limit in slo.each)


def meets_all(request: Answered, slo: Slo) -> bool:
    """Whether it meets the limits of the cell too, asked of this one request; those on a mean as well."""
    return meets_each(request, slo) and all(
        within(request, limit.metric, limit.value, ITL_PERCENT if limit.percent is None else limit.percent)
        for limit in slo.limits
    )


def cell_value(requests: Iterable[Answered], metric: str, percent: float | None) -> float | None:
    """Return a percentile, or the mean, over completed requests; of ITL over all gaps. None without values."""
    if metric == "itl_ms":
        gaps = [np.diff(np.asarray(one.token_s, dtype=np.float64)) for one in requests]
        values = 1e3 * np.concatenate(gaps) if gaps else np.empty(0)
    else:
        found = (request_value(one, metric) for one in requests)
        values = np.array([value for value in found if value is not None and math.isfinite(value)])
    if not values.size:
        return None
    return float(values.mean() if percent is None else np.percentile(values, percent))
