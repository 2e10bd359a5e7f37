"""What a variant gains over the baseline on each objective of `decision.objective`, and whether that is established.

A gain is established when it is above 1 by a one-sided test at ALPHA / 2, corrected by Holm over the acceptable
variants and objectives that have an interval: the first objective that has an established gain decides, so each of them
is a chance to be wrong. One run, or one search, does not show how runs differ: it has no p. The size of a checkpoint is
exact. Speeds of kernels that are emulated on this machine are no gains. Where numbers of GPUs differ, throughput and
capacity are per GPU; the cost of a token is always per GPU, because the price is that of a GPU-hour.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from harness.analysis.decision.pareto import per_gpu
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.significance import ALPHA, holm, one_sided_p
from harness.analysis.study import Study

SIZE = "size"
LEVEL = ALPHA / 2  # one-sided, over all variants and objectives
SPEED_OF = {"latency": "latency", "throughput": "throughput", "capacity": "capacity", "cost": "capacity"}


@dataclass(frozen=True)
class ObjectiveGain:
    """More than 1 is better than the baseline."""

    estimate: Estimate
    established: bool
    p: float | None = None  # one-sided, of no gain
    p_holm: float | None = None
    repeats: int = 0  # of the side that has fewer; 0: not known
    within_search: bool = False  # a capacity of single searches

    @property
    def exact(self) -> bool:
        return self.estimate.low == self.estimate.high == self.estimate.value


Gains = dict[str, dict[str, ObjectiveGain]]  # by objective, in the order in which they decide; then by variant


def objective_gains(
    study: Study, speedups: Mapping[str, Speedups], names: Iterable[str], emulated: tuple[str, ...]
) -> Gains:
    """The gains of `names` on the sweep's objectives, as far as they are known."""
    chosen = list(names)
    found: Gains = {}
    for objective in study.decision.objective:
        of = {name: _gain(study, speedups, name, objective, emulated) for name in chosen}
        found[objective] = {name: gain for name, gain in of.items() if gain}
    adjusted = holm({(o, n): gain.p for o, gains in found.items() for n, gain in gains.items()})
    return {o: {n: _corrected(gain, adjusted[o, n]) for n, gain in gains.items()} for o, gains in found.items()}


def _corrected(gain: ObjectiveGain, p: float | None) -> ObjectiveGain:
    return gain if p is None else replace(gain, p_holm=p, established=p <= LEVEL)


def best(gains: Mapping[str, ObjectiveGain]) -> tuple[str, ...]:
    """Established gains, the largest first, and those whose interval reaches into the largest one's."""
    shown = {name: gain.estimate for name, gain in gains.items() if gain.established}
    ranked = sorted(shown, key=lambda name: -shown[name].value)
    return tuple(name for name in ranked if _reaches(shown[name], shown[ranked[0]]))


def _reaches(gain: Estimate, largest: Estimate) -> bool:
    """Whether the interval of a gain ends inside or above that of the largest one."""
    return gain.high is None or largest.low is None or gain.high >= largest.low


def _gain(
    study: Study, speedups: Mapping[str, Speedups], name: str, objective: str, emulated: tuple[str, ...]
) -> ObjectiveGain | None:
    if objective == SIZE:
        return _smaller(study, name)
    found, measure = speedups.get(name), SPEED_OF[objective]
    estimate = getattr(found, measure) if found else None
    if found is None or estimate is None or name in emulated or (objective == "cost" and not study.settings.price):
        return None
    if measure != "latency":
        estimate = per_gpu(study, name, estimate)
    if estimate is None:
        return None
    within = measure == "capacity" and found.capacity_within_search
    repeats = found.repeats.get(measure, 0)
    p = None if within else one_sided_p(estimate, 1.0, above=True, freedom=max(1, repeats - 1), on_log=True)
    return ObjectiveGain(estimate, False, p, repeats=repeats, within_search=within)


def _smaller(study: Study, name: str) -> ObjectiveGain | None:
    """The baseline's bytes over the variant's."""
    base = study.variants[study.baseline].checkpoint_bytes if study.baseline in study.variants else None
    own = study.variants[name].checkpoint_bytes
    if not base or not own:
        return None
    return ObjectiveGain(Estimate(base / own, base / own, base / own), own < base)
