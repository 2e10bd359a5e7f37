"""NVML: the GPUs of this machine, what they are, what they do now, and who is on them.

The library (libnvidia-ml.so.1) comes with the driver; nvidia-ml-py is NVIDIA's own binding. What a card, a driver or a
container does not tell is None. Units: W, J, MHz, bytes, degrees Celsius; shares 0 to 1.

nvmlDeviceGetPowerUsage is the draw of the board over the last second on Ampere (but GA100) and later;
nvmlDeviceGetTotalEnergyConsumption counts since the driver was loaded, on Volta and later.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pynvml

from harness.machine.devices import Device, Gpu
from harness.machine.gpu_readings import GpuFacts, GpuProcess, GpuReading

# Of one question; any other error (a GPU that fell off the bus) ends the asking.
_NOT_TOLD = (
    pynvml.NVMLError_NotSupported,
    pynvml.NVMLError_FunctionNotFound,
    pynvml.NVMLError_ArgumentVersionMismatch,
    pynvml.NVMLError_Deprecated,
    pynvml.NVMLError_NoPermission,
    pynvml.NVMLError_NotFound,
    pynvml.NVMLError_NoData,
    pynvml.NVMLError_Unknown,
)


class NvmlAbsent(Exception):
    """Why there is no NVML here."""


class NvmlFault(NvmlAbsent):
    """It is here and was asked, and a GPU is not well."""


@contextmanager
def opened() -> Iterator[ModuleType]:
    """NVML, ready to be asked. Raises NvmlAbsent, and NvmlFault for an error while the context lasts."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        raise NvmlAbsent("libnvidia-ml.so.1 not found") from None
    except pynvml.NVMLError as error:
        raise NvmlAbsent(f"NVML does not start: {error}") from None
    try:
        yield pynvml
    except pynvml.NVMLError as error:
        raise NvmlFault(f"NVML: {error}") from None
    finally:
        pynvml.nvmlShutdown()


def told(ask: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or None where there is none."""
    try:
        return ask(*arguments)
    except _NOT_TOLD:
        return None


def gpus(nvml: ModuleType) -> list[Gpu]:
    """Every GPU that this process may see, whatever CUDA_VISIBLE_DEVICES says."""
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        mig = told(nvml.nvmlDeviceGetMigMode, handle)
        instances = _instances(nvml, handle) if mig and mig[0] == nvml.NVML_DEVICE_MIG_ENABLE else None
        found.append(Gpu(index, nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle), instances))
    return found


def _instances(nvml: ModuleType, handle: Any) -> tuple[str, ...]:
    slots = range(told(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0)
    handles = (told(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot) for slot in slots)
    return tuple(nvml.nvmlDeviceGetUUID(instance) for instance in handles if instance is not None)


def pci_bus_id(nvml: ModuleType, device: Device) -> str | None:
    """``00000000:3B:00.0``"""
    found = told(nvml.nvmlDeviceGetPciInfo, nvml.nvmlDeviceGetHandleByIndex(device.gpu))
    return found and str(found.busId.decode() if isinstance(found.busId, bytes) else found.busId)


def versions(nvml: ModuleType) -> dict[str, str]:
    return {"driver": nvml.nvmlSystemGetDriverVersion(), "nvml": nvml.nvmlSystemGetNVMLVersion()}


def facts(nvml: ModuleType, device: Device) -> GpuFacts:
    """What does not change while a sweep runs. `clocks_locked`: application clocks are not the default ones; NVML
    does not tell of clocks that were locked by nvidia-smi --lock-gpu-clocks.
    """
    handle = nvml.nvmlDeviceGetHandleByIndex(device.gpu)
    capability = told(nvml.nvmlDeviceGetCudaComputeCapability, handle)
    memory = _memory(nvml, _own_handle(nvml, device))
    limit, shipped = (
        told(ask, handle)
        for ask in (nvml.nvmlDeviceGetEnforcedPowerLimit, nvml.nvmlDeviceGetPowerManagementDefaultLimit)
    )
    persistence = told(nvml.nvmlDeviceGetPersistenceMode, handle)
    clock, default = (
        told(ask, handle, nvml.NVML_CLOCK_SM)
        for ask in (nvml.nvmlDeviceGetApplicationsClock, nvml.nvmlDeviceGetDefaultApplicationsClock)
    )
    return {
        "name": device.name,
        "index": device.gpu,
        "uuid": device.uuid,
        "mig_instance": device.instance,
        "compute_capability": None if capability is None else float("{}.{}".format(*capability)),
        "memory_bytes": memory and memory.total,
        "sm_mhz_limit": told(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM),
        "memory_mhz_limit": told(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_MEM),
        "power_limit_w": _scaled(limit, 1e-3),
        "default_power_limit_w": _scaled(shipped, 1e-3),
        "persistence_mode": None if persistence is None else persistence == nvml.NVML_FEATURE_ENABLED,
        "clocks_locked": None if clock is None or default is None else clock != default,
    }


def reading(nvml: ModuleType, device: Device) -> GpuReading:
    """What it does now. Of a MIG instance only its memory is its own: clocks, heat and their limits are the GPU's, and
    how much of the GPU's power it draws NVML does not say.
    """
    handle = nvml.nvmlDeviceGetHandleByIndex(device.gpu)
    own = _own_handle(nvml, device)
    memory, busy = _memory(nvml, own), told(nvml.nvmlDeviceGetUtilizationRates, own)
    reasons = told(nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if reasons is None:  # its name before driver 535
        reasons = told(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    power = energy = None
    if not device.instance:
        power = told(nvml.nvmlDeviceGetPowerUsage, handle)
        energy = told(nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
    return {
        "power_w": _scaled(power, 1e-3),
        "energy_j": _scaled(energy, 1e-3),
        "sm_mhz": told(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
        "memory_mhz": told(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
        "memory_used_bytes": memory and memory.used,
        "utilization": busy and busy.gpu / 100,
        "temperature_c": told(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        "reasons": reasons,
    }


def processes(nvml: ModuleType, device: Device) -> list[GpuProcess] | None:
    """[{pid, bytes}] of what computes on it; None: not told. In a container the driver may give the host's pids."""
    own = _own_handle(nvml, device)
    found = told(nvml.nvmlDeviceGetComputeRunningProcesses_v3, own)
    if found is None:  # before driver 510
        found = told(nvml.nvmlDeviceGetComputeRunningProcesses_v2, own)
    return found and [{"pid": process.pid, "bytes": process.usedGpuMemory} for process in found]


def _own_handle(nvml: ModuleType, device: Device) -> Any:
    if device.instance:
        return nvml.nvmlDeviceGetHandleByUUID(device.uuid)
    return nvml.nvmlDeviceGetHandleByIndex(device.gpu)


def _memory(nvml: ModuleType, handle: Any) -> Any:
    """Version 2 does not count what the driver keeps for itself as used; drivers before 510 have version 1 only."""
    return told(nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2) or told(nvml.nvmlDeviceGetMemoryInfo, handle)


def _scaled(value: int | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 3)
