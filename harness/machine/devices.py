"""Which GPUs a server uses: CUDA's rules for CUDA_VISIBLE_DEVICES over what NVML lists. Pure.

CUDA C++ programming guide, environment variables: a list of indices or of UUIDs (`GPU-...`, `MIG-...`, which may be cut
short as long as they are unique); from the first entry that names nothing, it and all that follow are invisible. Of a
GPU in MIG mode that is named by its index CUDA sees one instance, the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"


@dataclass(frozen=True)
class Gpu:
    """As NVML lists it. `index` is NVML's and nvidia-smi's: the order on the PCI bus."""

    index: int
    uuid: str
    name: str
    mig: tuple[str, ...] | None = None  # UUIDs of its MIG instances; None: it is not in MIG mode


@dataclass(frozen=True)
class Device:
    """What a server can use: a GPU, or a MIG instance of one."""

    gpu: int  # index of the GPU
    uuid: str
    name: str
    instance: bool = False

    @property
    def title(self) -> str:
        """``GPU 0 (NVIDIA H100)``"""
        return f"GPU {self.gpu} ({self.name}{', one MIG instance of it' if self.instance else ''})"


@dataclass(frozen=True)
class Visible:
    devices: tuple[Device, ...]
    problems: tuple[str, ...] = ()  # lines for preflight


def visible(gpus: list[Gpu], environment: Mapping[str, str]) -> Visible:
    """In CUDA's order. The first N of them are what a server on N GPUs takes."""
    value = environment.get(VARIABLE)
    entries = [str(gpu.index) for gpu in gpus] if value is None else [entry.strip() for entry in value.split(",")]
    found: list[Device] = []
    problems: list[str] = []
    for entry in entries:
        device = _device(gpus, entry)
        if device is None:
            problems.append(_unknown(gpus, entry, value or ""))
            break
        if device in found:
            problems.append(f"{VARIABLE}={value} names {entry} twice; CUDA then sees no GPU: name each once")
            return Visible((), tuple(problems))
        found.append(device)
    mixed = len({gpu.name for gpu in gpus}) > 1 and environment.get(ORDER) != "PCI_BUS_ID"
    if mixed and any(entry.isdecimal() for entry in entries):
        kinds = ", ".join(f"{gpu.index}: {gpu.name}" for gpu in gpus)
        problems.append(
            f"the GPUs differ ({kinds}), and CUDA numbers them with the fastest first, not like nvidia-smi: export "
            f"{ORDER}=PCI_BUS_ID, or name them by UUID in {VARIABLE}"
        )
    return Visible(tuple(found), tuple(problems))


def _device(gpus: list[Gpu], entry: str) -> Device | None:
    if entry.isdecimal():
        gpu = next((gpu for gpu in gpus if gpu.index == int(entry)), None)
        if gpu is None or gpu.mig == ():
            return None  # MIG mode without an instance: nothing can run on it
        return Device(gpu.index, gpu.mig[0] if gpu.mig else gpu.uuid, gpu.name, bool(gpu.mig))
    every = [Device(gpu.index, gpu.uuid, gpu.name) for gpu in gpus]
    every += [Device(gpu.index, uuid, gpu.name, True) for gpu in gpus for uuid in gpu.mig or ()]
    matching = [device for device in every if entry and device.uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None


def _unknown(gpus: list[Gpu], entry: str, value: str) -> str:
    if any(str(gpu.index) == entry for gpu in gpus):
        return f"GPU {entry} is in MIG mode and has no instance: make one (nvidia-smi mig -cgi ... -C), or take another"
    if value.strip() in ("", "-1", "NoDevFiles"):
        return f"{VARIABLE}={value!r} hides every GPU; unset it, or name the GPUs to use"
    there = ", ".join(f"{gpu.index}: {gpu.uuid}" for gpu in gpus) or "none"
    return (
        f"{VARIABLE}={value}: no GPU, or more than one, is called {entry!r}, so CUDA does not see it nor those after "
        f"it; the GPUs here: {there}"
    )
