"""A capacity search as it goes: one line for each probe."""

import math

from harness.loadgen.capacity import Capacity
from harness.records.quantities import between


def probe_words(found: Capacity, most: int) -> str:
    """Say of the last probe its rate and length, whether the SLO was met, its values, and what is known by now.

    ``probe 3 of at most 8: 41.2/s for 30 s met, p99 TTFT 420 ms, p99 ITL 38.1 ms; the capacity is 38.4 to 64.0/s``
    """
    last = found.probes[-1]
    values = "".join(f", {_value(key, value)}" for key, value in last.reading.values.items())
    state = "invalid: the client could not send it" if not last.valid else "met" if last.ratio <= 1 else "missed"
    asked = f"{last.rate_rps:.3g}/s for {last.requests / last.rate_rps:.0f} s"
    known = between(found.low_rps, found.high_rps)
    bound = f"the capacity is {known}{'' if known == 'unknown' else '/s'}"
    return f"probe {len(found.probes)} of at most {most}: {asked} {state}{values}; {bound}"


def _value(key: str, value: float) -> str:
    """``p99 ITL 38.1 ms``; a key without a latency as it is: ``goodput 0.993``."""
    latency, milliseconds, part = key.partition("_ms_")
    name = f"{part} {latency.upper()}" if milliseconds else key
    unit = " ms" if milliseconds else ""
    return f"{name} {value:.3g}{unit}" if math.isfinite(value) else f"{name} without bound"
