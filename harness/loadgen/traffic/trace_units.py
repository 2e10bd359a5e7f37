"""The unit of a trace's numeric timestamps: what its format says, unless the numbers contradict that.

Mooncake writes whole milliseconds, and other tools write seconds under the same names (GuideLLM), which replayed as
milliseconds would be a thousand times the recorded load. Numbers since the epoch tell their unit by their size. Others
are read in the usual unit of their format while only that unit gives a rate that a service has. Where it does not, or
where whole seconds of a quiet service would do as well, the file is refused: the numbers do not say what was meant.
"""

from harness.errors import ConfigError, did_you_mean

AUTO = "auto"
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
EPOCH_S = (1e9, 1e10)  # the years 2001 to 2286
SLOWEST_RPS = 0.01  # of a log of one service; Mooncake's and Azure's have 1 to 10 requests/s
SLOWEST_SHORT_RPS = 0.005  # of SHORT_S or less as milliseconds, which does not determine the mean rate
SHORT_S = 10.0
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
    judged = len(times) >= JUDGED_FROM
    doubtful = judged and rates_rps[read_as] < SLOWEST_RPS
    if read_as == "ms" and not since_epoch:
        slowest_rps = SLOWEST_SHORT_RPS if span <= SHORT_S * PER_SECOND["ms"] else SLOWEST_RPS
        doubtful |= judged and rates_rps["s"] >= slowest_rps
        doubtful |= any(time != int(time) for time in times)
    if doubtful:
        rates = ", ".join(f"{rates_rps[name]:,.4g} as {name}" for name in ("s", "ms", "us"))
        raise ConfigError(
            f"load.trace {path}: the unit of its timestamps is not certain: they mean {rates} (requests/s). Set "
            f"load.trace_unit=s, =ms or =us ({usual} is usual for this format)"
        )
    return PER_SECOND[read_as]
