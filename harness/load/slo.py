"""Whether what was measured meets a service-level objective (SLO), and by how much.

An SLO limits p99 TTFT, counted from the intended send, and p99 ITL, pooled over all gaps. A request that failed, was
cut off or never got a token has an infinite TTFT: an overloaded server that refuses one request in twenty does not
meet its objective with the rest. Its gaps count as far as it got.

`p99 <= limit` is the same as `at most 1 % of the values lie beyond the limit`. The share is what the capacity search
works with: it is a mean, so it is unbiased and may be pooled over runs, and it moves smoothly with the request rate
where the percentile jumps (a step of continuous batching holds none, one or two prefills, and p99 ITL sits on one of
those levels).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.config.workloads import Slo
from harness.load.metrics import Window
from harness.load.samples import Sample

PERCENT = 99.0
ALLOWED_SHARE = 1.0 - PERCENT / 100.0
BLOCKS = 10


@dataclass(frozen=True)
class Tally:
    """How many values of a metric lie beyond its limit, of how many, in consecutive blocks of equal time."""

    beyond: tuple[int, ...]
    of: tuple[int, ...]

    @property
    def share(self) -> float | None:
        return sum(self.beyond) / sum(self.of) if any(self.of) else None


@dataclass(frozen=True)
class SloReading:
    """By metric of the SLO (ttft, itl): p99 in milliseconds, its ratio to the limit, and the tally beyond the limit."""

    p99_ms: dict[str, float]
    ratios: dict[str, float]
    tallies: dict[str, Tally]

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


def limits_ms(slo: Slo) -> dict[str, float]:
    limits = {"ttft": slo.ttft_ms_p99, "itl": slo.itl_ms_p99}
    return {name: limit for name, limit in limits.items() if limit is not None}


def judge(samples: list[Sample], slo: Slo, span: Window | None = None) -> SloReading:
    """Over the requests whose turn came, and the gaps that ended, in `span`; over everything without one."""
    if span is None:
        span = Window("whole", -math.inf, math.inf)
    points = {"ttft": _ttft_ms, "itl": _itl_ms}
    p99_ms, ratios, tallies = {}, {}, {}
    for name, limit in limits_ms(slo).items():
        pairs = list(points[name](samples, span))
        moments = np.concatenate([moment for moment, _ in pairs]) if pairs else np.empty(0)
        values = np.concatenate([value for _, value in pairs]) if pairs else np.empty(0)
        p99_ms[name] = percentile(values, PERCENT)
        ratios[name] = p99_ms[name] / limit
        tallies[name] = _tally(moments, values > limit)
    return SloReading(p99_ms, ratios, tallies)


def percentile(values: np.ndarray, percent: float) -> float:
    """Linear interpolation, as numpy's, that also holds where some values are infinite. Infinite without values:
    nothing that was measured meets anything.
    """
    if not values.size:
        return math.inf
    position = (values.size - 1) * percent / 100.0
    low, high = math.floor(position), math.ceil(position)
    below, above = np.partition(values, (low, high))[[low, high]]
    return float(below if low == high or below == above else below + (position - low) * (above - below))


def _ttft_ms(samples: list[Sample], span: Window) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(moments in seconds, values in milliseconds) of each request."""
    for s in samples:
        if s.intended_s in span and not _broken_off(s):
            ttft_ms = 1e3 * s.ttft_s if s.completed else math.inf
            yield np.array([s.intended_s]), np.array([ttft_ms])


def _itl_ms(samples: list[Sample], span: Window) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for s in samples:
        inside = span.events(s.token_s[1:])
        yield s.token_s[1:][inside], 1e3 * np.diff(s.token_s)[inside]


def _broken_off(s: Sample) -> bool:
    """A later turn whose conversation had failed before: the failure has been counted."""
    return s.sent_s is None and s.asked.turn > 0


def _tally(moments: np.ndarray, beyond: np.ndarray) -> Tally:
    if not moments.size:
        return Tally((), ())
    edges = np.linspace(moments.min(), moments.max(), BLOCKS + 1)
    block = np.clip(np.searchsorted(edges, moments, "right") - 1, 0, BLOCKS - 1)
    of, over = np.bincount(block, minlength=BLOCKS), np.bincount(block[beyond], minlength=BLOCKS)
    return Tally(tuple(over.tolist()), tuple(of.tolist()))
