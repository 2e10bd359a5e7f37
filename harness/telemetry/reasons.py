"""Why a GPU's clocks are where they are: the bits of nvmlClocksEventReasons (nvml.h), called throttle reasons before.

Names as in the NVML API reference, in snake case. A bit that this list does not have yet keeps its number.
"""

REASONS = {
    0x001: "gpu_idle",  # nothing runs; the clocks drop
    0x002: "applications_clocks_setting",  # limited by what the user set (nvidia-smi -ac)
    0x004: "sw_power_cap",  # kept down so as not to exceed the power limit
    0x008: "hw_slowdown",  # clocks halved or less: heat, power brake or a power draw that is too high
    0x010: "sync_boost",  # in a sync boost group with slower cards
    0x020: "sw_thermal_slowdown",  # the driver keeps GPU or memory below its maximum operating temperature
    0x040: "hw_thermal_slowdown",  # clocks halved or less: too hot
    0x080: "hw_power_brake_slowdown",  # clocks halved or less: asked for from outside, by the power supply
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
IDLE = "gpu_idle"
POWER_CAP = "sw_power_cap"
# The card is not what its data sheet says: it is too hot, or its power supply holds it down.
FAULTS = ("hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")


def names(bits: int) -> tuple[str, ...]:
    """The reasons in a mask, lowest bit first; empty: nothing keeps the clocks down."""
    return tuple(REASONS.get(1 << n, f"bit_{n}") for n in range(bits.bit_length()) if bits >> n & 1)
