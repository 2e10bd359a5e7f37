"""The machine, in a manifest and in every record: `host`. What is not told is absent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from harness.records.fields import Stored, optional, rest


@dataclass(frozen=True)
class Gpu(Stored):
    """What NVML tells of a GPU (machine/gpu_readings.py); of an AMD one `name` and `architecture`."""

    name: str = ""
    architecture: str | None = optional()
    index: int | None = optional()
    uuid: str | None = optional()
    mig_instance: bool | None = optional()
    compute_capability: float | None = optional()
    sm_mhz_limit: float | None = optional()
    memory_mhz_limit: float | None = optional()
    power_limit_w: float | None = optional()
    default_power_limit_w: float | None = optional()  # as shipped
    persistence_mode: bool | None = optional()
    clocks_locked: bool | None = optional()
    memory_gib: float | None = optional()
    driver: str | None = optional()
    mig_instances: int | None = optional()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | str) -> Self:
        """Read a GPU; older records have its name alone."""
        return super().from_json(stored) if isinstance(stored, Mapping) else cls(str(stored))


@dataclass(frozen=True)
class HostFacts(Stored):
    """Empty where no machine is recorded; older records have less."""

    cpu: str | None = optional()
    cores: int | None = optional()
    memory_gib: float | None = optional()
    system: str | None = optional()
    python: str | None = optional()
    nvml: str | None = optional()
    gpus: tuple[Gpu, ...] | None = optional()
    more: Mapping[str, Any] = rest()
