"""Facts about the machine that measures. GPUs are NVML's to tell: an absent one is absent data, not zero.

That is this machine, or within `measured_on(node)` another one: a cluster's login node plans what a compute node
measures, and fingerprints name the CPU and GPUs of the compute node.
"""

import contextlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self, cast

from harness.machine.devices import ORDER, VARIABLE, Device, visible
from harness.machine.gpu_readings import HostGpu


class OnDevice(Protocol):
    """An engine, or its settings."""

    @property
    def device(self) -> str | None: ...

    @property
    def env(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Node:
    """Another machine that measures: what the functions of this module return there."""

    facts: Mapping[str, Any]
    cpu_flags: frozenset[str]
    gpus: list[HostGpu]  # those that CUDA, or ROCm, shows
    no_nvml: str | None  # why there is no NVML

    @classmethod
    def here(cls) -> Self:
        """Return this machine, whatever it is `measured_on`."""
        with measured_on(None):
            shown = {key: os.environ[key] for key in (VARIABLE, ORDER) if key in os.environ}
            gpus = _nvml(tuple(shown.items()))[1] or amd_gpus()
            return cls(facts(), cpu_flags(), gpus, no_nvml())

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(**{**stored, "cpu_flags": frozenset(stored["cpu_flags"])})

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "cpu_flags": sorted(self.cpu_flags)}

    @property
    def kind(self) -> str:
        """What fingerprints name of it, in words: ``AMD EPYC 9554 (avx512f), 64 cores, NVIDIA H100 80GB HBM3``."""
        models = dict.fromkeys(map(_kind, self.gpus))
        return ", ".join([self.facts["cpu"], f"{self.facts['cores']} cores", *models])

    def difference(self, other: "Node") -> str | None:
        """Return what makes `other` unfit to measure cells that were planned for this one; None: it is fit."""
        for what in ("cpu", "cores"):
            here, there = self.facts[what], other.facts[what]
            if here != there and not (what == "cores" and there > here):  # a session is bound to as many as planned
                return f"{what} {there} in place of {here}"
        names, found = {_kind(gpu) for gpu in self.gpus}, {_kind(gpu) for gpu in other.gpus}
        if not found <= names or (names and not found):
            return f"GPU {' + '.join(sorted(found)) or 'none'} in place of {' + '.join(sorted(names)) or 'none'}"
        return None


class _Measured:
    on: Node | None = None


@contextlib.contextmanager
def measured_on(node: Node | None) -> Iterator[None]:
    """Let this module tell of `node` in place of this machine; None: of this machine."""
    before, _Measured.on = _Measured.on, node
    try:
        yield
    finally:
        _Measured.on = before


def node() -> Node | None:
    """The machine that measures, where it is not this one."""
    return _Measured.on


def facts() -> Mapping[str, Any]:
    return _Measured.on.facts if _Measured.on else _facts()


@lru_cache(maxsize=1)
def _facts() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **_nvml()[0],
        "gpus": gpus() or amd_gpus(),
    }


def identity(used: Sequence[HostGpu] = ()) -> dict[str, Any]:
    """What a measurement depends on: results of another machine, or of other GPUs (`used`) of it, are other cells."""
    known = facts()
    return {"cpu": known["cpu"], "cores": known["cores"], "gpus": [_kind(gpu) for gpu in used]}


def _kind(gpu: HostGpu) -> str:
    """Instances of a GPU in MIG mode all bear its name, whatever their size."""
    if not gpu.get("mig_instance"):
        return gpu["name"]
    return f"{gpu['name']}, {gpu['memory_gib']:g} GiB of it" if gpu["memory_gib"] else f"{gpu['name']}, a part of it"


def available_bytes() -> int:
    """Memory that processes can still take (Linux: MemAvailable); 0 where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)


def gpus() -> list[HostGpu]:
    """[{name, compute_capability, memory_gib, driver, power_limit_w, ...}] of machine/nvml.py; empty without NVML.

    Every GPU that this process may see: `gpus_for` says which of them an engine does.
    """
    if _Measured.on:
        return [gpu for gpu in _Measured.on.gpus if "compute_capability" in gpu]
    return _nvml()[1]


def gpus_for(engine: OnDevice) -> list[HostGpu]:
    """Those that an engine's server can take, by the engine's configuration, in its order: the first N if it wants N.

    Empty for engines on a CPU, and for those that are not ours to start.
    """
    if engine.device == "rocm":
        return amd_gpus()
    if engine.device != "cuda":
        return []
    if _Measured.on:
        return gpus()
    environment = {**os.environ, **engine.env}
    return _nvml(tuple((key, environment[key]) for key in (VARIABLE, ORDER) if key in environment))[1]


def no_nvml() -> str | None:
    """Why there is no NVML here; None where there is."""
    return _Measured.on.no_nvml if _Measured.on else _nvml()[2]


@lru_cache
def _nvml(shown: tuple[tuple[str, str], ...] | None = None) -> tuple[dict[str, str], list[HostGpu], str | None]:
    """(facts of the machine, of each GPU, why there are none).

    `shown`: the variables by which CUDA shows them; None: every GPU, whole.
    """
    from harness.machine import nvml as access

    try:
        with access.opened() as nvml:
            there, versions = access.gpus(nvml), access.versions(nvml)
            every = (Device(gpu.index, gpu.uuid, gpu.name) for gpu in there)
            found: list[HostGpu] = []
            for device in visible(there, dict(shown)).devices if shown is not None else every:
                known = cast(HostGpu, access.facts(nvml, device))
                memory, instances = known.pop("memory_bytes"), there[device.gpu].mig
                known |= {"memory_gib": memory and memory / 2**30, "driver": versions["driver"]}
                known["mig_instances"] = None if instances is None else len(instances)
                found.append(known)
            return {"nvml": versions["nvml"]}, found, None
    except access.NvmlAbsent as absent:
        return {}, [], str(absent)


def amd_gpus() -> list[HostGpu]:
    """[{name, architecture}] from rocminfo, like {"AMD Instinct MI300X", "gfx942"}; empty where there is none.

    Written from ROCm's documentation: no machine of ours has an AMD GPU.
    """
    if _Measured.on:
        return [gpu for gpu in _Measured.on.gpus if "compute_capability" not in gpu]
    return _amd_gpus()


@lru_cache(maxsize=1)
def _amd_gpus() -> list[HostGpu]:
    if not shutil.which("rocminfo"):
        return []
    try:
        output = subprocess.run(["rocminfo"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_rocminfo(output)


def parse_rocminfo(output: str) -> list[HostGpu]:
    """Its agents are blocks of "Key: value" lines, a CPU among them; lines of their ISAs are indented further."""
    found: list[HostGpu] = []
    for block in re.split(r"^Agent \d+", output, flags=re.MULTILINE)[1:]:
        agent = dict(re.findall(r"^  (\w[\w ]*?):\s+(.*?)\s*$", block, re.MULTILINE))
        if agent.get("Device Type") == "GPU":
            name = agent.get("Marketing Name") or agent.get("Name") or "unknown GPU"
            found.append({"name": name, "architecture": agent.get("Name")})
    return found


def cpu_dtype() -> str:
    """The 16-bit or 32-bit type that this CPU computes fast in: float32 where it lacks AVX-512, AMX and Arm's BF16.

    SmolLM2-135M on AVX2 alone: 12 prompts of 264 tokens took vLLM 60 s in BF16 and 14 s in FP32.
    """
    return "bfloat16" if cpu_flags() & {"avx512f", "amx_bf16", "bf16"} else "float32"


def cpu_flags() -> frozenset[str]:
    """Feature flags of /proc/cpuinfo: {avx2, avx512_vnni, ...}, on Arm {asimddp, bf16, ...}; empty where unknown."""
    return _Measured.on.cpu_flags if _Measured.on else _cpu()[1]


def _cpu_model() -> str:
    """Model name and the instruction sets that decide which kernels an engine takes."""
    name, flags = _cpu()
    seen = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(seen)})" if seen else name


@lru_cache(maxsize=1)
def _cpu() -> tuple[str, frozenset[str]]:
    """Model name and feature flags, as Linux tells them."""
    name = platform.processor() or "unknown CPU"
    flags: frozenset[str] = frozenset()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = frozenset(value.split())
                break
    except OSError:
        pass
    return name, flags
