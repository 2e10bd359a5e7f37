"""The `telemetry` of a record: what summary.py makes of a cell's samples. None: not known."""

from typing import TypedDict

from harness.machine.gpu_readings import GpuProcess


class GpuSummary(TypedDict):
    """One GPU of the server."""

    index: int | None
    uuid: str | None
    name: str | None
    mig_instance: bool | None
    memory_bytes: int | None
    power_limit_w: float | None
    default_power_limit_w: float | None
    samples: int
    gap_s_max: float | None  # the largest between two samples
    energy_j: float | None
    energy_from: str | None  # counter | power
    power_w_mean: float | None
    power_w_max: float | None
    sm_mhz_median: float | None
    sm_mhz_min: float | None
    sm_mhz_limit: float | None
    memory_mhz_median: float | None
    memory_mhz_limit: float | None
    memory_used_bytes_max: float | None
    utilization_mean: float | None
    temperature_c_max: float | None
    busy_samples: int | None
    throttle: dict[str, float] | None  # {reason: share of the busy samples}


class Summary(TypedDict, total=False):
    """All GPUs of the server. The two energies a token: of a load cell alone."""

    window_s: list[float]  # [start, end] since the rows' time zero
    interval_s: float
    energy_j: float | None
    gpus: list[GpuSummary]
    energy_j_per_output_token: float | None
    energy_j_per_token: float | None
    foreign_processes: list[GpuProcess]
