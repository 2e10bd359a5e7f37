"""Whether what was measured meets a service-level objective (SLO), and by how much.

Of each limit (config/slo.py) the values are counted that lie beyond it. TTFT and E2E count from the intended send, ITL
is pooled over all gaps. A request that failed, was cut off or never got a token has infinite latencies and no tokens/s,
and meets no limit of each request: an overloaded server that refuses one request in twenty does not meet its objective
with the rest. Its gaps count as far as it got.

`p99 <= limit` is the same as `at most 1 % of the values lie beyond the limit`, and a goodput of 99 % is at most 1 % of
the requests. The share is what the capacity search works with: it is a mean, so it is unbiased and may be pooled over
runs, and it moves smoothly with the request rate where the percentile jumps (a step of continuous batching holds none,
one or two prefills, and p99 ITL sits on one of those levels).

A limit on a mean has no such share. The search takes the mean relative to its limit there, with the standard error over
blocks of time. It is of the completed requests, as the stored means are, and infinite where more than 1 % failed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.config.slo import GOODPUT, Limit, Slo
from harness.loadgen.metrics import Window
from harness.loadgen.samples import Sample
from harness.records.slo_values import meets_each, request_value

ALLOWED_SHARE = 0.01  # of values beyond a limit on the p99
BLOCKS = 10
SHORT = {"ttft_ms_p99": "ttft", "itl_ms_p99": "itl"}  # names of limits in results; others are named by their key


@dataclass(frozen=True)
class Tally:
    """How many values of a metric lie beyond its limit, of how many, in consecutive blocks of equal time."""

    beyond: tuple[int, ...]
    of: tuple[int, ...]
    allowed: float = ALLOWED_SHARE  # the share that may

    @property
    def share(self) -> float | None:
        return sum(self.beyond) / sum(self.of) if any(self.of) else None


@dataclass(frozen=True)
class Level:
    """A mean relative to its limit, positive beyond it: its natural logarithm and the standard error of that."""

    ln_ratio: float  # infinite where nothing was measured, or too many requests failed
    error: float


@dataclass(frozen=True)
class SloReading:
    """By limit (ttft, itl, e2e_ms_p95, goodput): the value, its ratio to the limit, and the tally beyond the limit or,
    of a mean, its level.

    `values` has the keys of the SLO.
    """

    values: dict[str, float]
    ratios: dict[str, float]
    tallies: dict[str, Tally | Level]

    @property
    def ratio(self) -> float:
        """The largest of the ratios: at most 1 where the SLO is met. An SLO that limits nothing is met."""
        return max(self.ratios.values(), default=0.0)

    @property
    def met(self) -> bool:
        return self.ratio <= 1.0

    @property
    def limited_by(self) -> str | None:
        return max(self.ratios, key=lambda name: self.ratios[name], default=None)


def judge(samples: list[Sample], slo: Slo, span: Window | None = None) -> SloReading:
    """Over the requests whose turn came, and the gaps that ended, in `span`; over everything without one."""
    if span is None:
        span = Window("whole", -math.inf, math.inf)
    values: dict[str, float] = {}
    ratios: dict[str, float] = {}
    tallies: dict[str, Tally | Level] = {}
    for limit in slo.limits:
        name = SHORT.get(limit.key, limit.key)
        moments, found = _measured(limit, samples, span)
        if limit.percent is None:
            values[limit.key] = _mean(limit, found, samples, span)
            ratios[name] = limit.ratio(values[limit.key])
            tallies[name] = _level(ratios[name], moments, found)
            continue
        values[limit.key] = percentile(found, limit.percent, limit.is_floor)
        ratios[name] = limit.ratio(values[limit.key])
        beyond = found < limit.value if limit.is_floor else found > limit.value
        tallies[name] = _tally(moments, beyond, limit.allowed)
    if slo.goodput is not None:
        pairs = [(s.intended_s, not (s.completed and meets_each(s, slo))) for s in _turns(samples, span)]
        missed = np.array([miss for _, miss in pairs], dtype=bool)
        values[GOODPUT] = 1 - float(missed.mean()) if missed.size else 0.0
        ratios[GOODPUT] = (1 - values[GOODPUT]) / (1 - slo.goodput)
        tallies[GOODPUT] = _tally(np.array([moment for moment, _ in pairs]), missed, 1 - slo.goodput)
    return SloReading(values, ratios, tallies)


def _mean(limit: Limit, found: np.ndarray, samples: list[Sample], span: Window) -> float:
    completed = [s.completed for s in _turns(samples, span)]
    if not found.size or len(completed) - sum(completed) > ALLOWED_SHARE * len(completed):
        return 0.0 if limit.is_floor else math.inf
    return float(found.mean())


def _level(ratio: float, moments: np.ndarray, found: np.ndarray) -> Level:
    """The error is that of a mean over blocks of time: consecutive values share a queue and a batch."""
    if not 0 < ratio < math.inf:
        return Level(math.inf, 0.0)
    block = _blocks(moments)
    of, sums = np.bincount(block, minlength=BLOCKS), np.bincount(block, found, BLOCKS)
    count, mean = int(np.count_nonzero(of)), float(found.mean())
    variance = float(((sums - mean * of) ** 2).sum()) * count / max(1, count - 1)  # Cochran 1977, 6.13
    return Level(math.log(ratio), math.sqrt(variance) / (len(found) * mean))


def percentile(values: np.ndarray, percent: float, floor: bool = False) -> float:
    """Linear interpolation, as numpy's, that also holds where some values are infinite. Without values infinite, and 0
    for a floor: nothing that was measured meets anything.
    """
    if not values.size:
        return 0.0 if floor else math.inf
    position = (values.size - 1) * percent / 100.0
    low, high = math.floor(position), math.ceil(position)
    below, above = np.partition(values, (low, high))[[low, high]]
    return float(below if low == high or below == above else below + (position - low) * (above - below))


def _measured(limit: Limit, samples: list[Sample], span: Window) -> tuple[np.ndarray, np.ndarray]:
    """(moments in seconds, values): one of each request, of ITL one of each gap; of a mean, of completed requests."""
    pairs = list(_gaps(samples, span) if limit.metric == "itl_ms" else _requests(limit, samples, span))
    if not pairs:
        return np.empty(0), np.empty(0)
    return np.concatenate([moment for moment, _ in pairs]), np.concatenate([value for _, value in pairs])


def _requests(limit: Limit, samples: list[Sample], span: Window) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    worst = None if limit.percent is None else 0.0 if limit.is_floor else math.inf
    for s in _turns(samples, span):
        value = request_value(s, limit.metric) if s.completed else worst
        if value is not None:
            yield np.array([s.intended_s]), np.array([value])


def _gaps(samples: list[Sample], span: Window) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for s in samples:
        inside = span.events(s.token_s[1:])
        yield s.token_s[1:][inside], 1e3 * np.diff(s.token_s)[inside]


def _turns(samples: list[Sample], span: Window) -> Iterator[Sample]:
    return (s for s in samples if s.intended_s in span and not _broken_off(s))


def _broken_off(s: Sample) -> bool:
    """A later turn whose conversation had failed before: the failure has been counted."""
    return s.sent_s is None and s.asked.turn > 0


def _tally(moments: np.ndarray, beyond: np.ndarray, allowed: float) -> Tally:
    if not moments.size:
        return Tally((), (), allowed)
    block = _blocks(moments)
    of, over = np.bincount(block, minlength=BLOCKS), np.bincount(block[beyond], minlength=BLOCKS)
    return Tally(tuple(over.tolist()), tuple(of.tolist()), allowed)


def _blocks(moments: np.ndarray) -> np.ndarray:
    """Return of each moment its block of time, 0 to BLOCKS - 1."""
    edges = np.linspace(moments.min(), moments.max(), BLOCKS + 1)
    return np.clip(np.searchsorted(edges, moments, "right") - 1, 0, BLOCKS - 1)
