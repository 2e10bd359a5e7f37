"""Where SLOs are met. A scenario has one SLO and may have tiers of it; all are read from the same measurement.

A percentile that no record holds, and the share of requests that meet limits of each request, are computed again from
the stored requests: an SLO that is changed after the measurement needs no new one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from harness.analysis.study import Measured
from harness.config.slo import Slo
from harness.records.manifest import Scenario
from harness.records.request import Request
from harness.records.slo_values import cell_value, meets_each

SLO = "SLO"  # the name of the scenario's own objective among its tiers


@dataclass(frozen=True)
class Standing:
    """How much of each limit a load point uses; `worst` names the limit of which it uses most."""

    worst: str
    ratio: float
    value: float  # of `worst`, as it was measured

    @property
    def met(self) -> bool:
        return self.ratio <= 1.0


def objectives(scenario: Scenario) -> dict[str, dict[str, float]]:
    """Return the scenario's SLO and its tiers by name, without those that limit nothing."""
    named = {SLO: scenario.slo, **scenario.tiers}
    return {name: limits for name, limits in named.items() if Slo.known(limits)}


def with_slo_values(measured: Measured, wanted: Iterable[Slo]) -> Measured:
    """Return a load cell whose metrics have every value that the SLOs ask for and its requests give."""
    missing = [slo for slo in wanted if any(key not in measured.metrics for key in slo.keys)]
    if not missing:
        return measured
    requests = measured.requests()
    found: dict[str, float | None] = {}
    for slo in missing:
        found |= _values(requests, slo)
    return replace(measured, derived={key: value for key, value in found.items() if value is not None})


def _values(requests: list[Request], slo: Slo) -> dict[str, float | None]:
    completed = [request for request in requests if request.answered]
    found = {limit.key: cell_value(completed, limit.metric, limit.percent) for limit in slo.limits}
    if slo.goodput_key:
        sent = sum(request.sent_s is not None for request in requests)
        found[slo.goodput_key] = sum(meets_each(request, slo) for request in completed) / sent if sent else None
    return found


def standing(metrics: Mapping[str, float | None], limits: Mapping[str, float]) -> Standing | None:
    """`metrics`: values of a load point by key. None where one of them was not measured."""
    slo = Slo.known(limits)
    values = {key: value for key in slo.keys if (value := metrics.get(key)) is not None}
    if not slo or len(values) < len(slo.keys):
        return None
    ratios = slo.ratios(values.__getitem__)
    worst = max(ratios, key=ratios.__getitem__)
    return Standing(worst, ratios[worst], values[worst])
