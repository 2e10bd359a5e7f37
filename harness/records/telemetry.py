"""What NVML told of a server's GPUs during a cell: `telemetry` of a record. What a card does not tell is None.

telemetry/summary.py has the formulas. Keys: window_s [start, end] in seconds since the rows' time zero, interval_s,
    energy_j of all GPUs together; of a load cell energy_j_per_output_token, energy_j_per_token;
    foreign_processes [{"pid", "name", "bytes"}];
    gpus [{"index", "uuid", "name", "mig_instance", "memory_bytes", "power_limit_w", "default_power_limit_w",
    "samples", "gap_s_max" (largest between two), "energy_j", "energy_from": counter | power, "power_w_mean",
    "power_w_max", "sm_mhz_median", "sm_mhz_min", "sm_mhz_limit", "memory_mhz_median", "memory_mhz_limit",
    "memory_used_bytes_max", "utilization_mean", "temperature_c_max", "busy_samples", "throttle": {reason: share}}]
Its samples lie beside the rows, telemetry.jsonl.gz: {"t_s", "device": position in gpus, "power_w", "energy_j" (the
    counter), "sm_mhz", "memory_mhz", "memory_used_bytes", "utilization", "temperature_c", "reasons"}.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from harness.records.fields import Stored


@dataclass(frozen=True)
class GpuUse(Stored):
    """One GPU, as far as readers need it; telemetry/summary.py has the formulas."""

    samples: int = 0
    energy_from: str | None = None  # counter | power
    power_w_mean: float | None = None
    power_w_max: float | None = None
    sm_mhz_median: float | None = None
    sm_mhz_min: float | None = None
    sm_mhz_limit: float | None = None
    memory_used_bytes_max: float | None = None


@dataclass(frozen=True)
class Telemetry(Stored):
    """The GPUs of a server, each and together; without GPUs nothing was watched."""

    gpus: tuple[GpuUse, ...] = ()
    energy_j: float | None = None
    energy_j_per_output_token: float | None = None
    energy_j_per_token: float | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self:
        told = stored or {}
        return replace(super().from_json(told), gpus=tuple(map(GpuUse.from_json, told.get("gpus") or ())))

    @property
    def recorded(self) -> bool:
        return self != Telemetry()
