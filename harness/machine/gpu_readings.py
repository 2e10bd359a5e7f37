"""What NVML tells of a GPU, as JSON objects: between the sampler's process and ours, and in records. None: not told."""

from typing import TypedDict


class GpuFacts(TypedDict, total=False):
    """What does not change while a sweep runs. An AMD GPU has `name` and `architecture` alone."""

    name: str
    architecture: str | None
    index: int
    uuid: str
    mig_instance: bool
    compute_capability: float | None
    memory_bytes: int | None
    sm_mhz_limit: float | None
    memory_mhz_limit: float | None
    power_limit_w: float | None
    default_power_limit_w: float | None
    persistence_mode: bool | None
    clocks_locked: bool | None  # application clocks are not the default ones


class HostGpu(GpuFacts, total=False):
    """A GPU in the facts of a machine: `memory_gib` in place of `memory_bytes`."""

    memory_gib: float | None
    driver: str
    mig_instances: int | None  # None: it is not in MIG mode


class GpuReading(TypedDict):
    """What it does now. `energy_j` counts since the driver was loaded; `reasons` are NVML's bits."""

    power_w: float | None
    energy_j: float | None
    sm_mhz: float | None
    memory_mhz: float | None
    memory_used_bytes: int | None
    utilization: float | None
    temperature_c: float | None
    reasons: int | None


class GpuProcess(TypedDict, total=False):
    """A process that computes on it. `name` None: it cannot be seen from here; `own`: below the harness in the tree."""

    pid: int
    bytes: int | None
    name: str | None
    own: bool


class Sample(GpuReading, total=False):
    """A reading of one of a session's devices."""

    t: float  # CLOCK_MONOTONIC
    device: int  # its position among the session's
    processes: list[GpuProcess]  # about once a second
