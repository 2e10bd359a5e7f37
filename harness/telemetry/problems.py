"""What preflight says of the GPUs that engines will use. Without NVML nothing is known of them, and nothing said."""

from collections.abc import Mapping
from typing import Any

from harness.machine import nvml as access
from harness.machine.devices import VARIABLE, Device, visible
from harness.telemetry.processes import lines, named_process


def problems(environment: Mapping[str, str], wanted: Mapping[str, int]) -> list[str]:
    """`environment`: of the engine; `wanted`: how many GPUs each of its sessions takes."""
    try:
        with access.opened() as nvml:
            return _problems(nvml, environment, wanted)
    except access.NvmlFault as fault:
        return [f"{fault}: a GPU of this machine is not well, nvidia-smi says which"]
    except access.NvmlAbsent:
        return []


def _problems(nvml: Any, environment: Mapping[str, str], wanted: Mapping[str, int]) -> list[str]:
    gpus = access.gpus(nvml)
    seen = visible(gpus, environment)
    found = list(seen.problems)
    for session, count in wanted.items():
        if len(seen.devices) < count <= len(gpus):  # more than there are: preflight.py says it, NVML or not
            told = f"; {VARIABLE}={environment[VARIABLE]}" if VARIABLE in environment else ""
            shown = f"{len(seen.devices)} of the {len(gpus)} here"
            found.append(f"{session} is to be served on {count} GPU(s), and CUDA sees {shown}{told}")
    for device in seen.devices[: max(wanted.values(), default=0)]:
        found += others(nvml, device)
    return found


def others(nvml: Any, device: Device) -> list[str]:
    """Return a line for each process that is on a GPU before an engine starts; none: it is free."""
    there = access.processes(nvml, device)
    named = None if there is None else [named_process(process) for process in there]
    used = access.reading(nvml, device)["memory_used_bytes"]
    return list(lines(device, named, used, access.facts(nvml, device)["memory_bytes"]))
