"""What NVML told of a server's GPUs during a cell: `telemetry` of a record. What a card does not tell is None.

telemetry/summary.py has the formulas. The samples lie beside the rows, telemetry.jsonl.gz: {"t_s", "device": position
in `gpus`, "power_w", "energy_j" (the counter), "sm_mhz", "memory_mhz", "memory_used_bytes", "utilization",
"temperature_c", "reasons"}.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.records.fields import Stored, later, optional


@dataclass(frozen=True)
class GpuUse(Stored):
    """One GPU of the server."""

    index: int | None = None
    uuid: str | None = None
    name: str | None = None
    mig_instance: bool | None = None
    memory_bytes: int | None = None
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    samples: int = 0
    gap_s_max: float | None = None  # the largest between two samples
    energy_j: float | None = None
    energy_from: str | None = None  # counter | power
    power_w_mean: float | None = None
    power_w_max: float | None = None
    sm_mhz_median: float | None = None
    sm_mhz_min: float | None = None
    sm_mhz_limit: float | None = None
    memory_mhz_median: float | None = None
    memory_mhz_limit: float | None = None
    memory_used_bytes_max: float | None = None
    utilization_mean: float | None = None
    temperature_c_max: float | None = None
    busy_samples: int | None = None
    throttle: Mapping[str, float] | None = None  # {reason: share of the busy samples}


@dataclass(frozen=True)
class ForeignProcess(Stored):
    """A process on the server's GPUs that is not the server's."""

    pid: int
    name: str | None = None  # None: it cannot be seen from here
    bytes: int | None = None


@dataclass(frozen=True)
class Telemetry(Stored):
    """The GPUs of a server, each and together; without GPUs nothing was watched."""

    window_s: tuple[float, float] | None = optional()  # [start, end] since the rows' time zero
    interval_s: float | None = optional()
    energy_j: float | None = None
    gpus: tuple[GpuUse, ...] = ()
    energy_j_per_output_token: float | None = optional()  # of a load cell
    energy_j_per_token: float | None = optional()
    foreign_processes: tuple[ForeignProcess, ...] = later(())

    @property
    def recorded(self) -> bool:
        return self != Telemetry()
