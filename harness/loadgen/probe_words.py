"""A capacity search as it goes: one line for each probe."""

import math
from collections.abc import Sequence

from harness.loadgen.capacity import Probe


def probe_words(probes: Sequence[Probe], most: int) -> str:
    """Say of the last probe its rate, whether the SLO was met, its p99 values, and the bracket that is left.

    ``probe 3 of at most 8: 41.2/s met, p99 TTFT 420 ms, p99 ITL 38.1 ms; the capacity is between 41.2 and 64/s``
    """
    last = probes[-1]
    values = "".join(f", {_value(key, value)}" for key, value in last.reading.values.items())
    state = "invalid: the client could not send it" if not last.valid else "met" if last.ratio <= 1 else "missed"
    return f"probe {len(probes)} of at most {most}: {last.rate_rps:.3g}/s {state}{values}; {_bracket(probes)}"


def _bracket(probes: Sequence[Probe]) -> str:
    met = max((probe.rate_rps for probe in probes if probe.valid and probe.ratio <= 1), default=None)
    missed = min((probe.rate_rps for probe in probes if probe.valid and probe.ratio > 1), default=None)
    if met is None and missed is None:
        return "no bound yet"
    if met is None or missed is None:
        return f"the capacity is above {met:.3g}/s" if missed is None else f"the capacity is below {missed:.3g}/s"
    low, high = sorted((met, missed))
    return f"the capacity is {'between' if met < missed else 'near'} {low:.3g} and {high:.3g}/s"


def _value(key: str, value: float) -> str:
    """``p99 ITL 38.1 ms``; a key without a latency as it is: ``goodput 0.993``."""
    latency, milliseconds, part = key.partition("_ms_")
    name = f"{part} {latency.upper()}" if milliseconds else key
    unit = " ms" if milliseconds else ""
    return f"{name} {value:.3g}{unit}" if math.isfinite(value) else f"{name} without bound"
