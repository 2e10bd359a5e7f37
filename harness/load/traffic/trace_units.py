"""The unit of a trace's numeric timestamps: what its format says, unless the numbers contradict that.

Mooncake writes whole milliseconds, and other tools write seconds under the same names (GuideLLM), which replayed as
milliseconds would be a thousand times the recorded load. Numbers since the epoch tell their unit by their size. Others
are read in the usual unit of their format as long as that gives a rate that a service has; where it does not, the file
is refused: the numbers alone do not say what was meant.
"""

from harness.errors import ConfigError, did_you_mean

AUTO = "auto"
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
EPOCH_S = (1e9, 1e10)  # the years 2001 to 2286
SLOWEST_RPS, FASTEST_RPS = 0.01, 50.0  # of a log of one service; Mooncake's and Azure's have 1 to 10
JUDGED_FROM = 4  # requests: fewer have no rate to speak of


def units_per_second(times: list[float], usual: str, unit: str, path: str) -> float:
    """`times`: a file's timestamps in ascending order; `usual`: its format's unit; `unit`: load.trace_unit."""
    if unit != AUTO:
        if unit not in PER_SECOND:
            raise ConfigError(f"load.trace_unit={unit!r}{did_you_mean(unit, [AUTO, *PER_SECOND])}")
        return PER_SECOND[unit]
    since_epoch = [name for name, per in PER_SECOND.items() if EPOCH_S[0] * per <= times[0] < EPOCH_S[1] * per]
    read_as = since_epoch[0] if since_epoch else usual
    span = times[-1] - times[0]
    if not span:
        return PER_SECOND[read_as]
    rates_rps = {name: (len(times) - 1) / span * per for name, per in PER_SECOND.items()}
    doubtful = len(times) >= JUDGED_FROM and rates_rps[read_as] < SLOWEST_RPS
    if read_as == "ms" and not since_epoch:
        doubtful |= len(times) >= JUDGED_FROM and rates_rps["ms"] > FASTEST_RPS
        doubtful |= any(time != int(time) for time in times)
    if doubtful:
        rates = ", ".join(f"{rates_rps[name]:,.4g} as {name}" for name in ("s", "ms", "us"))
        raise ConfigError(
            f"load.trace {path}: the unit of its timestamps is not certain: they mean {rates} (requests/s). Set "
            "load.trace_unit to s, ms or us"
        )
    return PER_SECOND[read_as]
