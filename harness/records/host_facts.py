"""Facts of the machine in a manifest or record, as far as readers pick single ones out of `host`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.records.fields import Stored


@dataclass(frozen=True)
class Gpu(Stored):
    name: str = ""
    memory_gib: float | None = None
    compute_capability: str | None = None
    driver: str | None = None
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None  # as shipped
    persistence_mode: bool | None = None
    clocks_locked: bool | None = None
    mig_instances: int | None = None


def gpus(host: Mapping[str, Any]) -> tuple[Gpu, ...]:
    """The GPUs of the machine; older records have their names alone."""
    return tuple(Gpu.from_json(gpu) if isinstance(gpu, dict) else Gpu(str(gpu)) for gpu in host.get("gpus") or ())
