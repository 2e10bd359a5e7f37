"""The highest request rate that meets an SLO: a search on the rate, in few probes.

A probe offers requests at one rate for at least `duration_s` and counts the values of each metric beyond its limit
(slo.py). The capacity of a limit is the rate at which as many values lie beyond it as it allows (1 % for a p99), in
expectation over runs of that length and over their steady-state window; for long runs that is where the percentile
equals the limit. The capacity is the lowest of its limits'. What the probes together say about it is in threshold.py;
this module chooses the rates.

While nothing has failed, the rate rises by up to STEP. A probe that saturates the server bounds the capacity by the
rate that it achieved, and the next one lies just below. Once the capacity is known to within WIDE, probes lie on both
sides of it, where the share is expected OFFSETS logits from the allowed, and become up to MOST_REQUESTS times longer
when that is what it takes to reach the precision in the probes that are left.

    resolved        half the width of the 90 % interval is at most RESOLVED times `precision`, relative to the estimate,
                    and at least two probes within NEAR of the estimate lie on both sides of it; the search goes on
                    until it is at most `precision`, or the probes are spent
    not_reached     even max_rps meets the SLO (posterior probability above 95 %): the capacity is at least that
    below_minimum   even min_rps misses it
    unresolved      the probes are spent, or the client could not produce the load: the estimate, if there is one, and
                    its interval are what is known
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.config.slo import Slo
from harness.config.workloads import CapacitySearch
from harness.loadgen.metrics import achieved_rps, window
from harness.loadgen.samples import Sample
from harness.loadgen.slo import SloReading, Tally, judge
from harness.loadgen.threshold import Posterior, posterior
from harness.records.load_result import CapacityProbe, CapacityResult
from harness.records.point import LoadPoint

INTERVAL = 0.90
NORMAL_90 = 1.645
DECIDED = 0.95  # posterior probability
RESOLVED = 2.0
NEAR = 0.15  # of the estimate
STEP = 4.0  # of the rate, while nothing fails
WIDE = 0.35  # of ln rate: a factor of 1.4
OFFSETS = (0.6, -0.6, 0.3, -0.3)
BELOW_SATURATION = 0.85  # where the first probe after a saturated one goes
SATURATED = 0.90  # a probe that achieved less of its rate
CEILING = 1.02  # the achieved rate is itself measured
CLIENT_LIMIT = 0.8  # of a rate that the client could not produce
MOST_REQUESTS = 4.0
UNSATURATED = 0.8  # below this share of the rate that saturates, a queue is settled within a probe
GRID, GRID_MARGIN = 3000, 1.0  # points, and how far beyond the bounds they reach in ln rate


@dataclass(frozen=True)
class Probe:
    """One measurement."""

    rate_rps: float
    achieved_rps: float | None
    requests: int
    reading: SloReading
    valid: bool = True  # the client produced this load

    @property
    def ratio(self) -> float:
        """The largest of p99 / limit, infinite where too many requests failed."""
        return self.reading.ratio

    @property
    def tallies(self) -> dict[str, Tally]:
        return self.reading.tallies

    @property
    def ceiling_rps(self) -> float:
        """A rate that the capacity is not above, where the probe saturated the server: what it achieved meanwhile."""
        if self.ratio <= 1 or not self.achieved_rps or self.achieved_rps >= SATURATED * self.rate_rps:
            return math.inf
        return self.achieved_rps


@dataclass(frozen=True)
class Capacity:
    status: str  # resolved | not_reached | below_minimum | unresolved
    rps: float | None
    low_rps: float | None  # None: no bound on that side is known
    high_rps: float | None
    limited_by: str | None  # ttft | itl | another limit's key
    probes: tuple[Probe, ...]


def make_probe(samples: list[Sample], point: LoadPoint, slo: Slo, valid: bool = True) -> Probe:
    """Return a measured point's probe: its SLO reading over the steady-state window."""
    assert point.rate_rps is not None
    span = window(samples, point)
    return Probe(point.rate_rps, achieved_rps(samples, span), point.requests, judge(samples, slo, span), valid)


# (rate in requests/s, number of the probe, number of requests) -> what was measured; every probe has its own traffic
Measure = Callable[[float, int, int], Probe]


def search(measure: Measure, settings: CapacitySearch, start_rps: float | None = None) -> Capacity:
    """`start_rps`: a rate near or above the capacity, if one is known, such as that of the throughput profile."""
    probes: list[Probe] = []
    rate: float | None = min(max(start_rps or _middle(settings), settings.min_rps), settings.max_rps)
    share = 1.0
    while rate is not None and len(probes) < settings.probes:
        requests = round(share * max(settings.requests, rate * settings.duration_s))
        probes.append(measure(rate, len(probes), requests))
        found = estimate(probes, settings)
        if found.status in ("not_reached", "below_minimum") or _precise(found, settings):
            return found
        rate, share = _next(probes, settings)
    return estimate(probes, settings)


def estimate(probes: list[Probe], settings: CapacitySearch) -> Capacity:
    """What the probes so far say."""
    belief = _Belief(probes, settings)
    if not belief.metrics:
        return Capacity("unresolved", None, None, None, None, tuple(probes))
    low, middle, high = (math.exp(belief.quantile(q)) for q in ((1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2))
    lowest, highest = settings.min_rps, settings.max_rps
    if belief.below(lowest) > DECIDED:
        return Capacity("below_minimum", None, None, lowest, belief.limited_by, tuple(probes))
    if 1 - belief.below(highest) > DECIDED:
        return Capacity("not_reached", highest, highest, None, belief.limited_by, tuple(probes))
    near = [probe.rate_rps for probe in belief.valid if abs(probe.rate_rps / middle - 1) < NEAR]
    between = len(near) > 1 and min(near) <= middle <= max(near)
    narrow = (high - low) / 2 <= RESOLVED * settings.precision * middle
    status = "resolved" if narrow and between else "unresolved"
    return Capacity(status, middle, low, high, belief.limited_by, tuple(probes))


def _precise(found: Capacity, settings: CapacitySearch) -> bool:
    if found.status != "resolved" or found.rps is None or found.low_rps is None or found.high_rps is None:
        return False
    return (found.high_rps - found.low_rps) / 2 <= settings.precision * found.rps


def capacity_result(capacity: Capacity, slo: Slo, burst_rps: float | None) -> CapacityResult:
    return CapacityResult(
        capacity_rps=capacity.rps,
        capacity_rps_low=capacity.low_rps,
        capacity_rps_high=capacity.high_rps,
        capacity_status=capacity.status,
        capacity_limited_by=capacity.limited_by,
        probes=tuple(map(_probe_result, capacity.probes)),
        slo=slo.to_json(),
        burst_rps=burst_rps,
    )


def _probe_result(probe: Probe) -> CapacityProbe:
    values = {key: _finite(value) for key, value in probe.reading.values.items()}
    shares = {f"{name}_share_beyond": tally.share for name, tally in probe.tallies.items()}
    return CapacityProbe(
        rate_rps=probe.rate_rps,
        achieved_rps=probe.achieved_rps,
        requests=probe.requests,
        ratio=_finite(probe.ratio),
        readings={**values, **shares},
        valid=probe.valid,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class _Belief:
    """The posterior of each metric's capacity, and of the lowest of them."""

    def __init__(self, probes: list[Probe], settings: CapacitySearch):
        low, high = math.log(settings.min_rps) - GRID_MARGIN, math.log(settings.max_rps) + GRID_MARGIN
        self._grid = np.linspace(low, high, GRID)
        self.valid = [probe for probe in probes if probe.valid]
        self.ceiling_rps = CEILING * min((probe.ceiling_rps for probe in self.valid), default=math.inf)
        self.metrics: dict[str, Posterior] = {}
        for name in sorted({name for probe in self.valid for name in probe.tallies}):
            counted = [(p.rate_rps, p.tallies[name]) for p in self.valid if p.tallies[name].share is not None]
            self.metrics[name] = posterior(name, self._grid, counted, self.ceiling_rps)
        above = np.prod([1 - np.cumsum(metric.mass) for metric in self.metrics.values()], axis=0)
        self._below = 1 - above

    def quantile(self, probability: float) -> float:
        """Return a quantile of ln capacity."""
        return float(np.interp(probability, self._below, self._grid))

    def below(self, rate_rps: float) -> float:
        """Probability that the capacity is below a rate."""
        return float(np.interp(math.log(rate_rps), self._grid, self._below))

    @property
    def limited_by(self) -> str:
        def lowest(name: str) -> float:
            others = [1 - np.cumsum(metric.mass) for other, metric in self.metrics.items() if other != name]
            return float(self.metrics[name].mass @ np.prod(others, axis=0)) if others else 1.0

        return max(self.metrics, key=lowest)


def _middle(settings: CapacitySearch) -> float:
    return math.sqrt(settings.min_rps * settings.max_rps)


def _next(probes: list[Probe], settings: CapacitySearch) -> tuple[float | None, float]:
    """(rate of the next probe or None for none, how many times its requests)."""
    lowest = settings.min_rps
    highest = min([settings.max_rps, *(CLIENT_LIMIT * probe.rate_rps for probe in probes if not probe.valid)])
    if highest <= lowest:
        return None, 1.0
    belief = _Belief(probes, settings)
    rate, share = _proposal(belief, settings, len(probes))
    return min(max(rate, lowest), highest), share


def _proposal(belief: _Belief, settings: CapacitySearch, number: int) -> tuple[float, float]:
    if not belief.metrics:
        return _middle(settings), 1.0
    passed = max((probe.rate_rps for probe in belief.valid if probe.ratio <= 1), default=0.0)
    failed = min((probe.rate_rps for probe in belief.valid if probe.ratio > 1), default=math.inf)
    if failed == math.inf:
        return min(math.exp(belief.quantile(0.75)), STEP * passed), 1.0
    low, middle, high = (belief.quantile(q) for q in ((1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2))
    share = _longer(belief, settings, math.exp(middle), (high - low) / 2, settings.probes - number)
    if high - low <= WIDE:
        offset = OFFSETS[number % len(OFFSETS)] / belief.metrics[belief.limited_by].slope
        return math.exp(middle + offset), share
    edge = BELOW_SATURATION * min((probe.ceiling_rps for probe in belief.valid), default=math.inf)
    if passed < edge < failed:
        return edge, 1.0
    return math.exp(middle), share if passed else 1.0


def _longer(belief: _Belief, settings: CapacitySearch, rate_rps: float, half_width: float, left: int) -> float:
    """How many times its requests a probe needs, for `left` such probes to bring the interval to the precision.

    Precisions (1 / variance) add. A probe of N independent values at a share s tells ln capacity with the precision
    N s slope^2. Near saturation queues grow with the length of a run, so there a longer probe would ask another
    question: TTFT is then searched for with probes of one length.
    """
    if belief.limited_by != "itl" and not rate_rps < UNSATURATED * belief.ceiling_rps < math.inf:
        return 1.0
    metric = belief.metrics[belief.limited_by]
    last = belief.valid[-1]
    usual = max(settings.requests, last.rate_rps * settings.duration_s)
    values = sum(last.tallies[belief.limited_by].of) / last.requests * usual
    gain = values / metric.design_effect * last.tallies[belief.limited_by].allowed * metric.slope**2
    missing = (NORMAL_90 / settings.precision) ** 2 - (NORMAL_90 / half_width) ** 2
    return min(max(missing / (gain * max(1, left)), 1.0), MOST_REQUESTS)
