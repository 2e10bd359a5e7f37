"""The samples of a cell in a few numbers: the record's `telemetry`. Pure; the formulas are here and nowhere else.

Over the cell's window [a, b]: for a load cell from its first intended send to its last response, for any other the
whole cell. Idle time in it counts, as it is paid for.

    energy_j            of a GPU: its energy counter at b - at a, both read between the samples around them; where the
                        card has none, the trapezoid of its power samples. `energy_from` says which: counter | power
    power_w mean        energy_j / (b - a)
    throttle            share of the busy samples at which a reason was active (reasons.py); busy: utilization above 0
                        or, where the card does not tell, not gpu_idle
    energy_j_per_output_token, energy_j_per_token
                        energy of all the server's GPUs / tokens of its completed requests: generated, and with the
                        prompt's. None where one GPU's energy is not known
"""

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Literal

import numpy as np

from harness.machine.gpu_readings import GpuFacts, Sample
from harness.records import Window
from harness.records.load_result import LoadResult
from harness.records.result import Result
from harness.records.telemetry import GpuUse, Telemetry
from harness.telemetry.reasons import IDLE, names

Column = Literal["power_w", "sm_mhz", "memory_mhz", "memory_used_bytes", "utilization", "temperature_c"]
Source = tuple[Literal["counter", "power"], Literal["energy_j", "power_w"]]
SOURCES: tuple[Source, ...] = (("counter", "energy_j"), ("power", "power_w"))
COVERED = 0.95  # of the window must lie between samples, else energy is not known


def summarize(samples: list[Sample], facts: list[GpuFacts], window: Window, interval_s: float) -> Telemetry | None:
    """`samples` as worker.py writes them, those around the window included; `facts`: of each device.

    None: not one sample is in the window.
    """
    start_s, end_s = window.zero_s + window.start_s, window.zero_s + window.end_s
    gpus = [
        _gpu([s for s in samples if s["device"] == position], known, start_s, end_s)
        for position, known in enumerate(facts)
    ]
    if not any(gpu.samples for gpu in gpus):
        return None
    energies = [gpu.energy_j for gpu in gpus if gpu.energy_j is not None]
    return Telemetry(
        window_s=(window.start_s, window.end_s),
        interval_s=interval_s,
        energy_j=None if len(energies) < len(gpus) else round(sum(energies), 3),
        gpus=tuple(gpus),
    )


def per_token(telemetry: Telemetry, result: Result) -> Telemetry:
    """Return it with the energy per token of a load cell, where tokens and energy are known."""
    energy_j = telemetry.energy_j
    if energy_j is None or not isinstance(result, LoadResult) or not result.completion_tokens:
        return telemetry
    return replace(
        telemetry,
        energy_j_per_output_token=energy_j / result.completion_tokens,
        energy_j_per_token=energy_j / (result.completion_tokens + result.prompt_tokens),
    )


def _gpu(samples: list[Sample], facts: GpuFacts, start_s: float, end_s: float) -> GpuUse:
    inside = [s for s in samples if start_s <= s["t"] <= end_s]
    energy_j, source = energy(samples, start_s, end_s)
    gaps = np.diff([s["t"] for s in inside])
    busy, throttle = _throttle(inside)
    return GpuUse(
        index=facts.get("index"),
        uuid=facts.get("uuid"),
        name=facts.get("name"),
        mig_instance=facts.get("mig_instance"),
        memory_bytes=facts.get("memory_bytes"),
        power_limit_w=facts.get("power_limit_w"),
        default_power_limit_w=facts.get("default_power_limit_w"),
        samples=len(inside),
        gap_s_max=round(float(gaps.max()), 3) if gaps.size else None,
        energy_j=energy_j,
        energy_from=source,
        power_w_mean=None if energy_j is None else round(energy_j / (end_s - start_s), 2),
        power_w_max=_over(max, inside, "power_w"),
        sm_mhz_median=_over(median, inside, "sm_mhz"),
        sm_mhz_min=_over(min, inside, "sm_mhz"),
        sm_mhz_limit=facts.get("sm_mhz_limit"),
        memory_mhz_median=_over(median, inside, "memory_mhz"),
        memory_mhz_limit=facts.get("memory_mhz_limit"),
        memory_used_bytes_max=_over(max, inside, "memory_used_bytes"),
        utilization_mean=_over(lambda values: round(float(np.mean(values)), 4), inside, "utilization"),
        temperature_c_max=_over(max, inside, "temperature_c"),
        busy_samples=busy,
        throttle=throttle,
    )


def energy(samples: list[Sample], start_s: float, end_s: float) -> tuple[float | None, str | None]:
    """(J, counter | power) between two moments; (None, None) where the samples do not tell."""
    for source, key in SOURCES:
        points = [(s["t"], s[key]) for s in samples if s[key] is not None]
        times, values = np.array([t for t, _ in points]), np.array([v for _, v in points])
        if not _covers(times, start_s, end_s):
            continue
        if source == "power":
            moments = np.array([start_s, *times[(times > start_s) & (times < end_s)], end_s])
            return round(float(np.trapezoid(np.interp(moments, times, values), moments)), 3), source
        if (np.diff(values) >= 0).all():  # a driver that is loaded anew counts from zero
            before, after = np.interp([start_s, end_s], times, values)
            return round(float(after - before), 3), source
    return None, None


def _covers(times: np.ndarray, start_s: float, end_s: float) -> bool:
    if len(times) < 2 or end_s <= start_s:
        return False
    return min(end_s, times[-1]) - max(start_s, times[0]) >= COVERED * (end_s - start_s)


def _throttle(samples: list[Sample]) -> tuple[int | None, dict[str, float] | None]:
    """(busy samples, the share of them with each reason that was seen); None where the card does not tell."""
    told = [(names(s["reasons"]), s["utilization"]) for s in samples if s["reasons"] is not None]
    if not told:
        return None, None
    busy = [reasons for reasons, use in told if (use > 0 if use is not None else IDLE not in reasons)]
    seen = sorted({reason for reasons in busy for reason in reasons})
    shares = {reason: round(sum(reason in reasons for reasons in busy) / len(busy), 4) for reason in seen}
    return len(busy), shares


def _over(take: Callable[[list[float]], float], samples: list[Sample], key: Column) -> float | int | None:
    values: list[float] = [value for s in samples if (value := s[key]) is not None]
    return take(values) if values else None
