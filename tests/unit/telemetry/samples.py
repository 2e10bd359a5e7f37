"""Made-up samples of GPUs whose energy and clocks are known."""

from typing import Any

FACTS = {
    "index": 0,
    "uuid": "GPU-0",
    "name": "NVIDIA H100",
    "mig_instance": False,
    "memory_bytes": 80 << 30,
    "sm_mhz_limit": 1980,
    "memory_mhz_limit": 2619,
    "power_limit_w": 700.0,
    "default_power_limit_w": 700.0,
}


def samples(count: int = 41, *, start_s: float = 100.0, step_s: float = 0.25, device: int = 0, **fields: Any):
    """A card at 400 W for ten seconds; `fields` are constants, or functions of the sample's number."""
    card = {
        "power_w": 400.0,
        "energy_j": lambda n: 5000.0 + 400.0 * n * step_s,
        "sm_mhz": 1980,
        "memory_mhz": 2619,
        "memory_used_bytes": 70 << 30,
        "utilization": 0.9,
        "temperature_c": 60,
        "reasons": 0,
    } | fields
    return [
        {"t": start_s + n * step_s, "device": device} | {k: v(n) if callable(v) else v for k, v in card.items()}
        for n in range(count)
    ]
