"""The rate that each variant keeps within a latency, at a row of latencies, and the envelope over deployments.

Deployments of one variant (other tensor-parallel degrees, `deployment_of` in the configuration) are held against each
other at an equal number of GPUs, as the Mixtral FP8 study (Neural Magic, 2024) shows them: one on `g` of `G` GPUs is
taken G/g times, with the load split evenly between the replicas, which then see the rate of one each. The envelope is
the best deployment at each latency (the highest rate within it), and at each rate (the lowest latency at it).
"""

from dataclasses import dataclass

from harness.analysis.speed.performance import PointResult, ladder
from harness.analysis.speed.readings import (
    AT_LEAST,
    INVALID,
    NOT_MEASURED,
    NOT_REACHED,
    Reading,
    latency_at_rate,
    monotone,
    rate_within,
    sustained,
)
from harness.analysis.study import Study
from harness.records.metrics import SHOWN_LATENCIES, spread

METRICS = spread(SHOWN_LATENCIES, ("p99",))
STEPS = (1, 1.5, 2, 3, 5, 7)  # of every decade
MOST = 6


@dataclass(frozen=True)
class Best:
    """`rate_rps` of the family on all its GPUs; `deployment` gives it, `replicas` times."""

    rate: Reading
    deployment: str | None
    replicas: int


@dataclass(frozen=True)
class Fastest:
    """The lowest latency of the family at a rate on all its GPUs; `deployment` gives it, `replicas` times."""

    latency: Reading
    deployment: str | None
    replicas: int
    unread: tuple[str, ...] = ()  # deployments that were not measured at this rate, and might be faster


@dataclass(frozen=True)
class Envelope:
    """The best deployments in one scenario by one metric; all rates are requests/s of `gpus` GPUs."""

    scenario: str
    metric: str
    gpus: int
    cutoffs_ms: tuple[float, ...]
    families: dict[str, tuple[str, ...]]  # variant -> its deployments
    replicas: dict[str, int]  # how often each deployment goes into the GPUs; only of those that fill them
    best: dict[tuple[str, float], Best]  # (family, cut-off)
    rates_rps: tuple[float, ...]
    fastest: dict[tuple[str, float], Fastest]  # (family, rate)


def cutoffs(study: Study, points: dict, scenario: str, metric: str) -> tuple[float, ...]:
    """`report.cutoffs_ms`, else round latencies among those of the rates that were reached; and the SLO's limit."""
    asked = study.settings.cutoffs_ms.get(metric)
    limit = study.scenarios[scenario].slo.get(metric)
    if asked is None:
        seen = sorted(
            value
            for name in study.variants
            for point in ladder(points[name, scenario])
            if point.valid and point.reached and (value := point.value(metric)) is not None
        )
        asked = _round_between(seen[0], seen[-1]) if seen else ()
    return tuple(sorted({*asked, *([limit] if limit else [])}))


def _round_between(low: float, high: float) -> tuple[float, ...]:
    values = [step * 10.0**power for power in range(-2, 7) for step in STEPS]
    inside = [value for value in values if low <= value <= high]
    return _thinned(inside)


def _thinned(values: list[float]) -> tuple[float, ...]:
    """At most MOST of them, evenly, both ends kept."""
    if len(values) > MOST:
        values = [values[round(i * (len(values) - 1) / (MOST - 1))] for i in range(MOST)]
    return tuple(values)


def families(study: Study) -> dict[str, tuple[str, ...]]:
    """Every variant that others deploy in another way, with them; a variant by itself is a family of one."""
    found: dict[str, list[str]] = {}
    for name, variant in study.variants.items():
        deployed = variant.deployment_of if variant.deployment_of in study.variants else name
        found.setdefault(deployed, []).append(name)
    return {name: tuple(names) for name, names in found.items()}


def deployed(study: Study) -> bool:
    """Is there more than one way of deploying a variant, or more than one number of GPUs?"""
    return study.gpus_differ or any(len(names) > 1 for names in families(study).values())


def envelope(study: Study, points: dict, scenario: str, metric: str) -> Envelope:
    """A deployment whose GPUs do not divide the largest number is left out: it cannot fill them."""
    gpus = max((variant.gpus for variant in study.variants.values()), default=1)
    replicas = {name: gpus // v.gpus for name, v in study.variants.items() if gpus % v.gpus == 0}
    curves = {name: (times, ladder(points[name, scenario])) for name, times in replicas.items()}
    groups = families(study)
    limits, rates = cutoffs(study, points, scenario, metric), _rates(curves)
    best: dict[tuple[str, float], Best] = {}
    fastest: dict[tuple[str, float], Fastest] = {}
    for family, names in groups.items():
        own = {name: curves[name] for name in names if name in curves}
        best |= {(family, limit): _best(own, metric, limit) for limit in limits}
        fastest |= {(family, rate): _fastest(own, metric, rate) for rate in rates}
    return Envelope(scenario, metric, gpus, limits, groups, replicas, best, rates, fastest)


Curves = dict[str, tuple[int, tuple[PointResult, ...]]]  # deployment -> (how often, the rate ladder of one)


def _rates(curves: Curves) -> tuple[float, ...]:
    """Those that the GPUs were offered together, by any deployment."""
    offered = {p.rate_rps * times for times, points in curves.values() for p in points if p.rate_rps is not None}
    return _thinned(sorted(offered))


def _fastest(curves: Curves, metric: str, rate: float) -> Fastest:
    found = {name: latency_at_rate(points, metric, rate / times) for name, (times, points) in curves.items()}
    unread = tuple(name for name, latency in found.items() if latency.status == NOT_MEASURED)
    known = {name: latency.value for name, latency in found.items() if latency.value is not None}
    if known:
        name = min(known, key=known.__getitem__)
        return Fastest(found[name], name, curves[name][0], unread)
    if invalid := [latency for latency in found.values() if latency.status == INVALID]:
        return Fastest(invalid[0], None, 0, unread)
    return Fastest(Reading(None, NOT_REACHED if found and not unread else NOT_MEASURED), None, 0, unread)


def _best(curves: Curves, metric: str, limit: float) -> Best:
    found = {name: scaled(rate_within(points, {metric: limit}), times) for name, (times, points) in curves.items()}
    if not found:
        return Best(Reading(None, NOT_MEASURED), None, 0)
    known = {name: rate.value for name, rate in found.items() if rate.value is not None}
    name = max(known, key=known.__getitem__) if known else next(iter(found))
    rate = found[name]
    if known and rate.status != AT_LEAST and any(found[other].status == AT_LEAST for other in known):
        rate = Reading(rate.value, AT_LEAST, "another deployment was not measured to its limit")
    return Best(rate, name, curves[name][0])


def scaled(reading: Reading, replicas: int) -> Reading:
    if reading.value is None or replicas == 1:
        return reading
    return Reading(reading.value * replicas, reading.status, reading.note)


def rate_curve(points: tuple[PointResult, ...], metric: str) -> list[tuple[float, float]]:
    """(latency, served rate) of the reached points, upwards, made monotone: what `rate_within` reads."""
    usable = sustained(points, [metric])
    latencies = monotone([p.known(metric) for _, p in usable])
    return [(float(y), rate) for y, (rate, _) in zip(latencies, usable, strict=True)]
