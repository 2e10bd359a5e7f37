"""The rate that each variant keeps within a latency, at a row of latencies, and the envelope over deployments.

Deployments of one variant (other tensor-parallel degrees, `deployment_of` in the configuration) are held against each
other at an equal number of GPUs, as the Mixtral FP8 study (Neural Magic, 2024) shows them: one on `g` of `G` GPUs is
taken G/g times, with the load split evenly between the replicas, which then see the rate of one each. The envelope is
the best deployment at each latency.
"""

from dataclasses import dataclass

from harness.analysis.performance import LoadPoint, ladder
from harness.analysis.readings import AT_LEAST, NOT_MEASURED, Reading, monotone, rate_within, sustained
from harness.analysis.study import Study

METRICS = ("itl_ms_p99", "ttft_ms_p99", "e2e_ms_p99")
STEPS = (1, 1.5, 2, 3, 5, 7)  # of every decade
MOST = 6


@dataclass(frozen=True)
class Best:
    """`rate_rps` of the family on all its GPUs; `deployment` gives it, `replicas` times."""

    rate: Reading
    deployment: str | None
    replicas: int


@dataclass(frozen=True)
class Envelope:
    """Of one scenario and metric, at `gpus` GPUs."""

    scenario: str
    metric: str
    gpus: int
    cutoffs_ms: tuple[float, ...]
    families: dict[str, tuple[str, ...]]  # variant -> its deployments
    best: dict[tuple[str, float], Best]  # (family, cut-off)


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
    if len(inside) > MOST:  # evenly over the range, both ends kept
        inside = [inside[round(i * (len(inside) - 1) / (MOST - 1))] for i in range(MOST)]
    return tuple(inside)


def families(study: Study) -> dict[str, tuple[str, ...]]:
    """Every variant that others deploy in another way, with them; a variant by itself is a family of one."""
    found: dict[str, list[str]] = {}
    for name, variant in study.variants.items():
        head = variant.deployment_of if variant.deployment_of in study.variants else name
        found.setdefault(head, []).append(name)
    return {head: tuple(names) for head, names in found.items()}


def deployed(study: Study) -> bool:
    """Is there more than one way of deploying a variant, or more than one number of GPUs?"""
    return (
        any(len(names) > 1 for names in families(study).values())
        or len({variant.gpus for variant in study.variants.values()}) > 1
    )


def envelope(study: Study, points: dict, scenario: str, metric: str) -> Envelope:
    """A deployment whose GPUs do not divide the largest number is left out: it cannot fill them."""
    gpus = max((variant.gpus for variant in study.variants.values()), default=1)
    limits = cutoffs(study, points, scenario, metric)
    groups = families(study)
    best = {
        (head, limit): _best(study, points, scenario, gpus, names, metric, limit)
        for head, names in groups.items()
        for limit in limits
    }
    return Envelope(scenario, metric, gpus, limits, groups, best)


def _best(study: Study, points: dict, scenario: str, gpus: int, names: tuple[str, ...], metric: str, limit: float):
    found: list[Best] = []
    for name in names:
        if gpus % study.variants[name].gpus == 0:
            replicas = gpus // study.variants[name].gpus
            found.append(
                Best(scaled(rate_within(ladder(points[name, scenario]), {metric: limit}), replicas), name, replicas)
            )
    known = [b for b in found if b.rate.value is not None]
    if not known:
        return found[0] if found else Best(Reading(None, NOT_MEASURED), None, 0)
    top = max(known, key=lambda b: b.rate.value)
    if top.rate.status != AT_LEAST and any(b.rate.status == AT_LEAST for b in known):
        bound = Reading(top.rate.value, AT_LEAST, "another deployment was not measured to its limit")
        return Best(bound, top.deployment, top.replicas)
    return top


def scaled(reading: Reading, replicas: int) -> Reading:
    if reading.value is None or replicas == 1:
        return reading
    return Reading(reading.value * replicas, reading.status, reading.note)


def rate_curve(points: tuple[LoadPoint, ...], metric: str) -> list[tuple[float, float]]:
    """(latency, served rate) of the reached points, upwards, made monotone: what `rate_within` reads."""
    usable = sustained(points, [metric])
    latencies = monotone([p.value(metric) for p in usable])
    return [(float(y), float(p.served_rps)) for y, p in zip(latencies, usable, strict=True)]
