"""Serving performance: which load points a scenario is measured at, and how one is measured.

A load profile is one class and one line in PROFILES. It says which points it makes of a scenario, when the requests
of a point are meant to be sent, and whether the loop is closed (the next request waits for an earlier one) or open
(it does not wait, so a slow server cannot slow its own load down). `measure.py` does the rest:

    prompts, arrivals -> client (stamps and bytes) -> sse (token times) -> metrics, validity -> Outcome

The planner and `--help` import this file: nothing heavy at the top.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Protocol

from harness.config import LoadPoints, Scenario
from harness.errors import ConfigError


@dataclass(frozen=True)
class LoadPoint:
    """One measurement of a scenario: a load cell is one of these for one variant."""

    profile: str  # a key of PROFILES
    rate_rps: float | None  # offered request rate; None where the profile has none
    requests: int  # conversations, where the scenario has several turns
    repeat: int = 0
    concurrency: int | None = None  # closed loop: conversations in flight; None: open loop
    arrivals: str = "poisson"  # a key of arrivals.ARRIVALS, where the profile has a rate
    burstiness: float = 1.0

    @property
    def slug(self) -> str:
        rate = "" if self.rate_rps is None else f"_{self.rate_rps:.10g}rps"
        flight = "" if self.concurrency in (None, 1) else f"_{self.concurrency}"
        manner = "" if self.arrivals == "poisson" else f"_{self.arrivals}{self.burstiness:.4g}"
        return f"{self.profile}{rate}{flight}{manner}_r{self.repeat}"

    def seed(self, sweep_seed: int, scenario_name: str, purpose: str) -> int:
        """Seed of this point's prompts or arrivals: of everything that names the traffic, and never of the variant."""
        return derive_seed(sweep_seed, scenario_name, self.slug, purpose)


class Profile(Protocol):
    concurrency: int | None  # closed loop: at most so many requests in flight; None: open loop

    def points(self, load: LoadPoints, scenario: Scenario) -> list[tuple[float | None, int]]:
        """(rate, number of requests) of each point, repeats aside; a number of 0 leaves the point out."""

    def send_times(self, point: LoadPoint, seed: int) -> list[float]:
        """Intended send times, ascending seconds since the start. A closed loop reads them as "not before"."""


class SingleStream:
    """One request at a time: latency without contention."""

    concurrency = 1

    def points(self, load: LoadPoints, scenario: Scenario) -> list[tuple[float | None, int]]:
        return [(None, load.single_stream_requests)]

    def send_times(self, point: LoadPoint, seed: int) -> list[float]:
        return [0.0] * point.requests


class Throughput:
    """All requests at once: the most that the server can do."""

    concurrency = None

    def points(self, load: LoadPoints, scenario: Scenario) -> list[tuple[float | None, int]]:
        return [(None, load.throughput_requests)]

    def send_times(self, point: LoadPoint, seed: int) -> list[float]:
        return [0.0] * point.requests


class ServerRate:
    """Poisson arrivals at a request rate: one step of the QPS ladder."""

    concurrency = None

    def points(self, load: LoadPoints, scenario: Scenario) -> list[tuple[float | None, int]]:
        rates = load.rates_rps if scenario.rates_rps is None else scenario.rates_rps
        if any(rate <= 0 for rate in rates):
            raise ConfigError(f"rates_rps: a request rate must be above 0, got {list(rates)}")
        return [(float(rate), _clip(round(load.duration_s * rate), load)) for rate in rates]

    def send_times(self, point: LoadPoint, seed: int) -> list[float]:
        from harness.load.arrivals import poisson

        assert point.rate_rps is not None
        return poisson(point.requests, point.rate_rps, seed)


PROFILES: dict[str, Profile] = {
    "single_stream": SingleStream(),
    "throughput": Throughput(),
    "server": ServerRate(),
}


def load_points(load: LoadPoints, scenario: Scenario) -> list[LoadPoint]:
    """Every load point of a scenario. Repeats are outermost, so that a drift of the machine falls on all points."""
    return [
        LoadPoint(name, rate, requests, repeat)
        for repeat in range(load.repeats)
        for name, profile in PROFILES.items()
        for rate, requests in profile.points(load, scenario)
        if requests > 0
    ]


def derive_seed(*parts: object) -> int:
    """A 64-bit seed from whatever names a thing; the same on every machine (unlike `hash`)."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big")


def _clip(requests: int, load: LoadPoints) -> int:
    if load.min_requests > load.max_requests:
        raise ConfigError(f"load.min_requests {load.min_requests} is above load.max_requests {load.max_requests}")
    return min(max(requests, load.min_requests), load.max_requests)
