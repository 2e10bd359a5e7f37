"""What tokens cost in energy, from the telemetry of load cells; nothing of a point that has none.

Energy is that of all GPUs of the server from the first intended send to the last response, idle time between requests
included, over the tokens of the completed requests (telemetry/summary.py). So it depends on the load: variants are
compared at equal load points, and only where both sides are valid and served the rate that was offered. Of a point's
repeats the mean is shown; the ratio is of their geometric means, with Welch's interval where both sides were repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.analysis.speed.performance import PointResult
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.statistics.repeats import log_ratio_interval
from harness.analysis.study import Study


@dataclass(frozen=True)
class Energy:
    """Energy at one load point; None: NVML did not tell. Power, memory and GPU counts are of all GPUs of the server."""

    point: PointResult
    gpus: int
    power_w_mean: float | None
    power_w_max: float | None  # sum of each GPU's highest
    sm_mhz_median: float | None  # lowest of the GPUs'
    sm_mhz_min: float | None
    sm_mhz_limit: float | None
    memory_used_bytes_max: float | None
    j_per_output_token: float | None
    j_per_token: float | None
    sources: tuple[str, ...]  # counter | power: where the energy comes from
    gain: Estimate | None  # output tokens per joule / the baseline's at the same load point; None for the baseline

    @property
    def output_tokens_per_j(self) -> float | None:
        return 1 / self.j_per_output_token if self.j_per_output_token else None


def energies(study: Study, points: dict[tuple[str, str], tuple[PointResult, ...]]) -> tuple[Energy, ...]:
    """By scenario, then variant, then load point."""
    found = []
    for scenario in study.scenarios:
        base = {point.point: point for point in points.get((study.baseline, scenario), ())}
        for name in study.variants:
            for point in points[name, scenario]:
                if any(run.telemetry.recorded for run in point.runs):
                    against = base.get(point.point) if name != study.baseline else None
                    found.append(_energy(point, against))
    return tuple(found)


def _energy(point: PointResult, base: PointResult | None) -> Energy:
    gpus = [gpu for run in point.runs for gpu in run.telemetry.gpus]
    return Energy(
        point=point,
        gpus=max(len(run.telemetry.gpus) for run in point.runs),
        power_w_mean=_mean(_of_server(point, "power_w_mean", sum)),
        power_w_max=max(_of_server(point, "power_w_max", sum), default=None),
        sm_mhz_median=min(_of_server(point, "sm_mhz_median", min), default=None),
        sm_mhz_min=min(_of_server(point, "sm_mhz_min", min), default=None),
        sm_mhz_limit=max(_of_server(point, "sm_mhz_limit", max), default=None),
        memory_used_bytes_max=max(_of_server(point, "memory_used_bytes_max", sum), default=None),
        j_per_output_token=_mean(_values(point, "energy_j_per_output_token")),
        j_per_token=_mean(_values(point, "energy_j_per_token")),
        sources=tuple(sorted({gpu.energy_from for gpu in gpus if gpu.energy_from})),
        gain=_gain(point, base),
    )


def _gain(own: PointResult, base: PointResult | None) -> Estimate | None:
    if base is None or not all(point.valid and point.reached for point in (own, base)):
        return None
    mine, theirs = (_values(point, "energy_j_per_output_token") for point in (own, base))
    return log_ratio_interval(theirs, mine) if all(mine) and all(theirs) and mine and theirs else None


def _values(point: PointResult, name: str) -> list[float]:
    """Return the value of each repeat that has one."""
    return [value for run in point.runs if (value := getattr(run.telemetry, name)) is not None]


def _of_server(point: PointResult, name: str, together: Callable[[list[Any]], float]) -> list[float]:
    """Return a value of each repeat, taken over its GPUs; a repeat in which one GPU does not tell is left out."""
    runs = [[getattr(gpu, name) for gpu in run.telemetry.gpus] for run in point.runs if run.telemetry.gpus]
    return [together(values) for values in runs if None not in values]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
