"""The load points that a scenario is measured at, and when the requests of each are meant to be sent.

A load profile is one class and one line in PROFILES. It says which points it makes of a scenario. A point's loop is
closed (its next request waits for an earlier one) or open (it does not wait, so a slow server cannot slow its own load
down).

The planner imports this file: nothing heavy at the top.
"""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from typing import Protocol

from harness.config.slo import Given, Slo
from harness.config.workloads import CHAT, VERBATIM, LoadPoints, Scenario
from harness.errors import ConfigError
from harness.records.point import LoadPoint


class Profile(Protocol):
    def points(self, load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
        """The profile's points, repeats aside. Raises ConfigError for settings that make no sense."""

    def send_times(self, point: LoadPoint, load: LoadPoints, seed: int) -> list[float]:
        """Intended send times, ascending seconds since the start. A closed loop reads them as "not before"."""


class SingleStream:
    """One request at a time: latency without contention."""

    def points(self, load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
        return _unless_empty(LoadPoint("single_stream", None, load.single_stream_requests, concurrency=1))

    def send_times(self, point: LoadPoint, load: LoadPoints, seed: int) -> list[float]:
        return [0.0] * point.requests


class Throughput(SingleStream):
    """All requests at once: the most that the server can do."""

    def points(self, load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
        return _unless_empty(LoadPoint("throughput", None, load.throughput_requests))


class Concurrency(SingleStream):
    """So many requests in flight, always: an answer's end sends the next request."""

    def points(self, load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
        for concurrency in load.concurrencies:
            if concurrency < 1:
                raise ConfigError(f"load.concurrencies: at least 1 request in flight, got {concurrency}")
            if concurrency > load.concurrency_requests:
                raise ConfigError(
                    f"load.concurrencies: {concurrency} are never in flight when load.concurrency_requests is "
                    f"{load.concurrency_requests}; set it to a multiple of {concurrency}"
                )
        return [LoadPoint("concurrency", None, load.concurrency_requests, concurrency=n) for n in load.concurrencies]


class ServerRate:
    """Arrivals at a request rate that do not wait for the server: one step of the rate ladder."""

    def points(self, load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
        rates = load.rates_rps if scenario.rates_rps is None else scenario.rates_rps
        _positive("load.rates_rps" if scenario.rates_rps is None else "rates_rps", *rates)
        points = [LoadPoint("server", float(rate), _clip(load.duration_s * rate, load)) for rate in rates]
        return [replace(point, **_arrivals(load)) for point in points]

    def send_times(self, point: LoadPoint, load: LoadPoints, seed: int) -> list[float]:
        from harness.loadgen.traffic.arrivals import ARRIVALS

        assert point.rate_rps is not None, "a capacity point has no rate: its probes have"
        return ARRIVALS[point.arrivals](point.requests, point.rate_rps, point.burstiness, seed)


class Ramp:
    """A Poisson process whose rate changes evenly: where along it the server gives in is visible in one run."""

    def points(self, load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
        if not load.ramp_rps:
            return []
        if len(load.ramp_rps) != 2:
            raise ConfigError(f"load.ramp_rps: two request rates, [from, to], got {list(load.ramp_rps)}")
        _positive("load.ramp_rps", *load.ramp_rps)
        first, last = (float(rate) for rate in load.ramp_rps)
        mean_rps = (first + last) / 2
        return [LoadPoint("ramp", mean_rps, _clip(load.duration_s * mean_rps, load), ramp_rps=(first, last))]

    def send_times(self, point: LoadPoint, load: LoadPoints, seed: int) -> list[float]:
        from harness.loadgen.traffic.arrivals import ramp

        assert point.ramp_rps is not None
        return ramp(point.requests, *point.ramp_rps, seed)


class TraceReplay:
    """Arrivals and lengths of a recorded service; the scenario gives the text and the SLO."""

    def points(self, load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
        if load.trace is None:
            return []
        from harness.loadgen.traffic.replay import digest, read_trace

        _positive("load.trace_speed", load.trace_speed)
        _positive("load.max_requests", load.max_requests)
        if scenario.turns > 1 or scenario.shared_prefix_tokens:
            raise ConfigError("load.trace: a scenario with turns or a shared prefix cannot be replayed; leave one out")
        if scenario.send == VERBATIM:
            raise ConfigError("load.trace: it brings its own lengths; a scenario with send: verbatim has them too")
        arrivals = read_trace(load.trace, load.max_requests, load.trace_unit)
        if (scenario.send_as == "text" or scenario.api == CHAT) and arrivals[0].hash_ids is not None:
            raise ConfigError(
                "load.trace: the blocks that its requests share are token ids; set send_as: ids and api: completions"
            )
        span_s = arrivals[-1].at_s / load.trace_speed
        mean_rps = float(f"{len(arrivals) / span_s:.6g}") if span_s else None
        return [
            LoadPoint(
                "trace", mean_rps, len(arrivals), trace_sha256=digest(load.trace), trace_speed=float(load.trace_speed)
            )
        ]

    def send_times(self, point: LoadPoint, load: LoadPoints, seed: int) -> list[float]:
        from harness.loadgen.traffic.replay import replayed

        return [arrival.at_s / point.trace_speed for arrival in replayed(point, load)]


class Capacity(ServerRate):
    """The highest rate that meets the scenario's SLO. The search (capacity.py) gives its probes their rates."""

    def points(self, load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
        search = load.capacity
        if search.probes < 0:
            raise ConfigError(f"load.capacity.probes: 0 or more, got {search.probes}")
        if not search.probes or not read_slo("slo", scenario.slo):
            return []
        _positive("load.capacity", search.min_rps, search.max_rps, search.requests, search.duration_s)
        if search.min_rps >= search.max_rps:
            raise ConfigError(f"load.capacity: min_rps {search.min_rps:g} must be below max_rps {search.max_rps:g}")
        if not 0 < search.precision < 1:
            raise ConfigError(f"load.capacity.precision: a share between 0 and 1, got {search.precision:g}")
        return [LoadPoint("capacity", None, search.requests, **_arrivals(load))]


PROFILES: dict[str, Profile] = {
    "single_stream": SingleStream(),
    "throughput": Throughput(),
    "concurrency": Concurrency(),
    "server": ServerRate(),
    "ramp": Ramp(),
    "trace": TraceReplay(),
    "capacity": Capacity(),
}


def load_points(load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
    """Every load point of a scenario. Repeats are outermost, so that a drift of the machine falls on all points."""
    from harness.loadgen.traffic.lengths import check_shape

    check_shape(scenario)
    for tier, limits in {"slo": scenario.slo, **{f"tiers.{name}": of for name, of in scenario.tiers.items()}}.items():
        read_slo(tier, limits)
    _positive("load.duration_s", load.duration_s)
    for setting in ("repeats", "rate_repeats", "workers"):
        if (given := getattr(load, setting)) is not None and given < 1:
            raise ConfigError(f"load.{setting}: at least 1, got {given}")
    if load.retries < 0:
        raise ConfigError(f"load.retries: 0 or more, got {load.retries}")
    once = [point for profile in PROFILES.values() for point in profile.points(load, scenario)]
    twice = [slug for slug, count in Counter(point.slug for point in once).items() if count > 1]
    if twice:
        raise ConfigError(f"load: the same point twice, {', '.join(twice)}; load.repeats repeats all of them")
    counts = {point.slug: _repeats(load, point) for point in once}
    rounds = range(max(counts.values(), default=0))
    return [replace(point, repeat=n) for n in rounds for point in once if n < counts[point.slug]]


def read_slo(setting: str, given: Given) -> Slo:
    """Raises ConfigError."""
    try:
        return Slo.of(given)
    except ValueError as error:
        raise ConfigError(f"{setting}.{error}") from None


def traffic_seed(point: LoadPoint, sweep_seed: int, scenario_name: str, purpose: str) -> int:
    """Seed of a point's prompts or arrivals: of everything that names the traffic, and never of the variant."""
    return derive_seed(sweep_seed, scenario_name, point.slug, purpose)


def derive_seed(*parts: object) -> int:
    """A 64-bit seed from whatever names a thing; the same on every machine (unlike `hash`)."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big")


def _arrivals(load: LoadPoints) -> dict:
    from harness.loadgen.traffic.arrivals import check_arrivals

    check_arrivals(load.arrivals, load.burstiness)
    return {"arrivals": load.arrivals, "burstiness": float(load.burstiness)}


def _repeats(load: LoadPoints, point: LoadPoint) -> int:
    own = load.rate_repeats if point.profile == "server" else None
    return load.repeats if own is None else own


def _unless_empty(point: LoadPoint) -> list[LoadPoint]:
    return [point] if point.requests > 0 else []


def _positive(setting: str, *values: float) -> None:
    if not all(0 < value < float("inf") for value in values):
        raise ConfigError(f"{setting}: every number must be above 0, got {', '.join(f'{v:g}' for v in values)}")


def _clip(requests: float, load: LoadPoints) -> int:
    if not 1 <= load.min_requests <= load.max_requests:
        raise ConfigError(f"load.min_requests {load.min_requests} must be 1 to load.max_requests {load.max_requests}")
    return min(max(round(requests), load.min_requests), load.max_requests)
