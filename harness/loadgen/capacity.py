"""The highest request rate that meets an SLO: a search on the rate, in few probes.

A probe offers requests at one rate for at least `duration_s` and counts the values of each metric beyond its limit
(slo.py). The capacity of a limit is the rate at which as many values lie beyond it as it allows (1 % for a p99), in
expectation over runs of that length and over their steady-state window; for long runs that is where the percentile
equals the limit. The capacity is the lowest of its limits'. What the probes together say about it is in threshold.py;
this module chooses the rates.

While nothing has failed, the rate rises by up to STEP, or STEP_FROM_START. A probe that saturates the server bounds the
capacity by the rate at which it answered meanwhile, and the next one lies just below. From the first miss on, every
probe lies within the 90 % interval of what is known, which is also what progress and report print. Once that is
narrower than WIDE, probes lie on both sides of the estimate, where the share is expected OFFSETS logits from the
allowed, and become up to MOST_REQUESTS times longer when that is what it takes to reach the precision in the probes
that are left.

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
from harness.loadgen.metrics import departure_rps, window
from harness.loadgen.samples import Sample
from harness.loadgen.slo import Level, SloReading, Tally, judge
from harness.loadgen.threshold import Posterior, Seen, posterior
from harness.records.load_result import CapacityProbe, CapacityResult
from harness.records.point import LoadPoint

INTERVAL = 0.90
NORMAL_90 = 1.645
DECIDED = 0.95  # posterior probability
RESOLVED = 2.0
NEAR = 0.15  # of the estimate
STEP, STEP_FROM_START = 4.0, 2.0  # of the rate, while nothing fails; from a start that was measured
WIDE = 0.35  # of ln rate: a factor of 1.4
OFFSETS = (0.6, -0.6, 0.3, -0.3)
SPREAD = 1.3  # of half the interval, for an offset of one logit
BELOW_SATURATION = 0.85  # where the first probe after a saturated one goes
SATURATED = 0.90  # a probe that achieved less of its rate
CEILING_ERRORS = 2.0  # how many standard errors, 1 / sqrt(requests), the answered rate may be too low
CLIENT_LIMIT = 0.8  # of a rate that the client could not produce
MOST_REQUESTS = 3.0
UNSATURATED = 0.8  # below this share of the rate that saturates, a queue is settled within a probe
GRID, GRID_MARGIN, GRID_REACH = 400, 1.0, 2.0  # points, and how far they reach in ln rate beyond bounds and probes


@dataclass(frozen=True)
class Probe:
    """One measurement. `achieved_rps`: at which rate the server answered while it was loaded."""

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
    def tallies(self) -> dict[str, Tally | Level]:
        return self.reading.tallies

    @property
    def ceiling_rps(self) -> float:
        """A rate that the capacity is not above, where the probe saturated the server: what it achieved meanwhile."""
        if self.ratio <= 1 or not self.achieved_rps:
            return math.inf
        most = self.achieved_rps * (1 + CEILING_ERRORS / math.sqrt(max(1, self.requests)))
        return most if most < SATURATED * self.rate_rps else math.inf


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
    return Probe(point.rate_rps, departure_rps(samples), point.requests, judge(samples, slo, span), valid)


# (rate in requests/s, number of the probe, number of requests) -> what was measured; every probe has its own traffic
Measure = Callable[[float, int, int], Probe]


def search(
    measure: Measure,
    settings: CapacitySearch,
    start_rps: float | None = None,
    told: Callable[[Capacity], None] = lambda found: None,
) -> Capacity:
    """`start_rps`: a rate near or above the capacity, if one is known, such as that of the throughput profile.

    `told` is what is known after each probe.
    """
    probes: list[Probe] = []
    rate: float | None = min(max(start_rps or _middle(settings), settings.min_rps), settings.max_rps)
    share = 1.0
    while rate is not None and len(probes) < settings.probes:
        requests = round(share * max(settings.requests, rate * settings.duration_s))
        probes.append(measure(rate, len(probes), requests))
        belief = _Belief(probes, settings)
        found = _capacity(belief, probes, settings)
        told(found)
        if found.status in ("not_reached", "below_minimum") or _precise(found, settings):
            return found
        rate, share = _next(belief, probes, settings, STEP_FROM_START if start_rps else STEP)
    return estimate(probes, settings)


def estimate(probes: list[Probe], settings: CapacitySearch) -> Capacity:
    """What the probes so far say."""
    return _capacity(_Belief(probes, settings), probes, settings)


def _capacity(belief: "_Belief", probes: list[Probe], settings: CapacitySearch) -> Capacity:
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
    tallies = {name: tally for name, tally in probe.tallies.items() if isinstance(tally, Tally)}
    shares = {f"{name}_share_beyond": tally.share for name, tally in tallies.items()}
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


def _tells(tally: Tally | Level) -> bool:
    return isinstance(tally, Level) or tally.share is not None


class _Belief:
    """The posterior of each metric's capacity, and of the lowest of them."""

    def __init__(self, probes: list[Probe], settings: CapacitySearch):
        self.valid = [probe for probe in probes if probe.valid]
        rates = [math.log(probe.rate_rps) for probe in self.valid]
        low, high = math.log(settings.min_rps) - GRID_MARGIN, math.log(settings.max_rps) + GRID_MARGIN
        low, high = max(low, min(rates, default=low) - GRID_REACH), min(high, max(rates, default=high) + GRID_REACH)
        self._grid = np.linspace(low, high, GRID)
        # where another probe met the SLO above it, the server was slower then than it usually is
        met_rps = max((probe.rate_rps for probe in self.valid if probe.ratio <= 1), default=0.0)
        ceilings = (probe.ceiling_rps for probe in self.valid)
        self.ceiling_rps = min((ceiling for ceiling in ceilings if ceiling > met_rps), default=math.inf)
        self.metrics: dict[str, Posterior] = {}
        for name in sorted({name for probe in self.valid for name in probe.tallies}):
            seen = [Seen(p.rate_rps, p.tallies[name], p.ceiling_rps) for p in self.valid if _tells(p.tallies[name])]
            self.metrics[name] = posterior(name, self._grid, seen)
        # A slow moment is slow for all limits: their posteriors rise and fall together (comonotone). The minimum of
        # independent ones is biased low
        above = np.min([1 - np.cumsum(metric.mass) for metric in self.metrics.values()], axis=0, initial=1.0)
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


def _next(belief: _Belief, probes: list[Probe], settings: CapacitySearch, step: float) -> tuple[float | None, float]:
    """(rate of the next probe or None for none, how many times its requests)."""
    lowest = settings.min_rps
    highest = min([settings.max_rps, *(CLIENT_LIMIT * probe.rate_rps for probe in probes if not probe.valid)])
    if highest <= lowest:
        return None, 1.0
    rate, share = _proposal(belief, settings, len(probes), step)
    return min(max(rate, lowest), highest), share


def _proposal(belief: _Belief, settings: CapacitySearch, number: int, step: float) -> tuple[float, float]:
    if not belief.metrics:
        return _middle(settings), 1.0
    passed = max((probe.rate_rps for probe in belief.valid if probe.ratio <= 1), default=0.0)
    failed = min((probe.rate_rps for probe in belief.valid if probe.ratio > 1), default=math.inf)
    if failed == math.inf:
        return min(math.exp(belief.quantile(0.75)), step * passed), 1.0
    low, middle, high = (belief.quantile(q) for q in ((1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2))
    share = _longer(belief, settings, math.exp(middle), (high - low) / 2, settings.probes - number)
    if high - low <= WIDE:
        logits = OFFSETS[number % len(OFFSETS)]
        wide = SPREAD * logits * (high - low) / 2  # the slope is not to be told from noise by probes that are all near
        offset = max(logits / belief.metrics[belief.limited_by].slope, wide, key=abs)
        return math.exp(min(max(middle + offset, low), high)), share
    edge = BELOW_SATURATION * belief.ceiling_rps
    if max(passed, math.exp(low)) < edge < min(failed, math.exp(high)):
        return edge, 1.0
    return math.exp(middle), share if passed else 1.0


def _longer(belief: _Belief, settings: CapacitySearch, rate_rps: float, half_width: float, left: int) -> float:
    """How many times its requests a probe needs, for `left` such probes to bring the interval to the precision.

    Precisions (1 / variance) add. A probe of N independent values at a share s tells ln capacity with the precision
    N s slope^2. Near saturation queues grow with the length of a run, so there a longer probe would ask another
    question: TTFT is then searched for with probes of one length.
    """
    last = belief.valid[-1]
    tally = last.tallies[belief.limited_by]
    if isinstance(tally, Level):
        return 1.0
    if belief.limited_by != "itl" and not rate_rps < UNSATURATED * belief.ceiling_rps < math.inf:
        return 1.0
    metric = belief.metrics[belief.limited_by]
    usual = max(settings.requests, last.rate_rps * settings.duration_s)
    values = sum(tally.of) / last.requests * usual
    gain = values / metric.design_effect * tally.allowed * metric.slope**2
    missing = (NORMAL_90 / settings.precision) ** 2 - (NORMAL_90 / half_width) ** 2
    return min(max(missing / (gain * max(1, left)), 1.0), MOST_REQUESTS)
