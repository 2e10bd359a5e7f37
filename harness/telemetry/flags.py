"""What a summary says against believing its cell. Pure; each threshold is beside its reason.

Clocks and neighbours change how fast a cell was, not what was answered: notes where a cell has answers for a result.
"""

from harness.records.flag import Flag
from harness.records.telemetry import GpuUse, Telemetry
from harness.telemetry.reasons import FAULTS, POWER_CAP

# At half the clocks or less, 5 % of the time changes a mean by 5 % or more, as much as the gains that are compared. One
# sample is not enough: HW slowdown may also show while clocks change (nvml.h), as at the start of a load.
SHARE, SAMPLES = 0.05, 2


def flags(telemetry: Telemetry, times: bool) -> list[Flag]:
    """Return the flags of a cell. `times`: its result is a speed."""
    worst = "caution" if times else "note"
    hot = [line for gpu in telemetry.gpus if (line := _held_down(gpu))]
    found = [Flag("gpu_throttled", worst, f"{'; '.join(hot)}: its speed is not the card's")] if hot else []
    found += [flag for gpu in telemetry.gpus for flag in _power_capped(gpu, worst)]
    if foreign := telemetry.foreign_processes:
        who = ", ".join(f"process {p.pid} ({p.name or 'not visible from here'})" for p in foreign)
        message = f"{who} used its GPUs too: speed, energy and memory are not the server's alone"
        found.append(Flag("gpu_shared", worst, message))
    return found


def _active(gpu: GpuUse, reasons: tuple[str, ...]) -> dict[str, float]:
    """The reasons that were active in enough of the busy samples."""
    shares, busy = gpu.throttle or {}, gpu.busy_samples or 0
    found = {reason: shares.get(reason, 0.0) for reason in reasons}
    return {reason: share for reason, share in found.items() if share >= SHARE and share * busy > SAMPLES - 0.5}


def _held_down(gpu: GpuUse) -> str | None:
    active = _active(gpu, FAULTS)
    if not active:
        return None
    told = ", ".join(f"{reason} in {share:.0%}" for reason, share in active.items())
    clocks = "" if gpu.sm_mhz_min is None else f", SM clock down to {gpu.sm_mhz_min:.0f} MHz"
    clocks += f" of {gpu.sm_mhz_limit:.0f}" if clocks and gpu.sm_mhz_limit is not None else ""
    heat = "" if gpu.temperature_c_max is None else f", up to {gpu.temperature_c_max:.0f} °C"
    return f"GPU {gpu.index}: {told} of the busy samples{clocks}{heat}"


def _power_capped(gpu: GpuUse, worst: str) -> list[Flag]:
    """At full load a data-centre GPU runs at its power limit, and what it reaches there is its performance: a note,
    since a variant that stays below the limit wins by that. A limit below the one it is shipped with makes another
    card of it: a caution.
    """
    share = _active(gpu, (POWER_CAP,)).get(POWER_CAP)
    if share is None:
        return []
    limit, shipped = gpu.power_limit_w, gpu.default_power_limit_w
    lowered = limit is not None and shipped is not None and limit < shipped
    told = f"GPU {gpu.index}: clocks were held at the power limit in {share:.0%} of the busy samples"
    if lowered:
        told += f", and the limit is {limit:.0f} W instead of {shipped:.0f} W"
    return [Flag("gpu_power_capped", worst if lowered else "note", told)]
