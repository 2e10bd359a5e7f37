import json
import math
from dataclasses import replace

import numpy as np
import pytest

from harness.config.slo import Slo
from harness.config.workloads import CapacitySearch
from harness.loadgen.capacity import Probe, capacity_result, estimate, search
from harness.loadgen.metrics import departure_rps
from harness.loadgen.slo import Level, SloReading, Tally
from harness.loadgen.threshold import Seen, design_effect, posterior, target
from harness.records.load_result import CapacityResult
from tests.unit.load.samples import made, steady_cell

SETTINGS = CapacitySearch(probes=8)
BLOCKS = 10


def tally(rng, share, values, clumps=1):
    """Values beyond the limit come `clumps` at a time."""
    of = [values // BLOCKS] * BLOCKS
    return Tally(tuple(int(clumps * rng.binomial(count // clumps, share)) for count in of), tuple(of))


class KnownServer:
    """The share beyond each limit is logistic in ln rate; it serves at most `most_rps`."""

    def __init__(self, seed, most_rps=math.inf, valid_to_rps=math.inf, allowed=0.01, **curves):
        self.allowed = allowed
        self.rng = np.random.default_rng(seed)
        self.curves, self.most_rps, self.valid_to_rps = curves, most_rps, valid_to_rps
        self.rates = []

    def __call__(self, rate_rps, number, requests):
        assert number == len(self.rates)
        self.rates.append(rate_rps)
        saturated = rate_rps > self.most_rps
        tallies, ratios = {}, []
        for name, (knee_rps, slope) in self.curves.items():
            share = (
                1.0 if saturated else 1 / (1 + math.exp(-target(self.allowed) - slope * math.log(rate_rps / knee_rps)))
            )
            tallies[name] = tally(self.rng, share, requests * (100 if name == "itl" else 1), 50 if name == "itl" else 1)
            tallies[name] = replace(tallies[name], allowed=self.allowed)
            ratios.append(1.2 if tallies[name].share > self.allowed else 0.9)
        by_name = dict(zip(self.curves, ratios, strict=True))
        reading = SloReading({name: 10.0 * ratio for name, ratio in by_name.items()}, by_name, tallies)
        return Probe(rate_rps, min(rate_rps, self.most_rps), requests, reading, rate_rps <= self.valid_to_rps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("curves", "knee_rps"),
    [({"itl": (20.0, 10.0)}, 20.0), ({"ttft": (8.0, 40.0), "itl": (12.0, 8.0)}, 8.0), ({"itl": (1.5, 12.0)}, 1.5)],
)
def test_a_known_knee_is_found_within_three_percent_for_nine_seeds_of_ten(curves, knee_rps):
    found = [search(KnownServer(seed, most_rps=1.3 * knee_rps, **curves), SETTINGS) for seed in range(20)]
    errors = [abs(capacity.rps / knee_rps - 1) for capacity in found]
    assert np.mean([error <= 0.03 for error in errors]) >= 0.9, errors
    assert np.mean([capacity.low_rps <= knee_rps <= capacity.high_rps for capacity in found]) >= 0.75
    assert all(len(capacity.probes) <= 8 for capacity in found)
    assert {capacity.limited_by for capacity in found} == {min(curves, key=lambda name: curves[name][0])}


@pytest.mark.parametrize(("name", "allowed"), [("goodput", 0.1), ("e2e_ms_p50", 0.5), ("tpot_ms_p99", 0.01)])
def test_a_knee_of_another_limit_is_where_as_many_values_lie_beyond_as_it_allows(name, allowed):
    servers = [KnownServer(seed, most_rps=26.0, allowed=allowed, **{name: (20.0, 12.0)}) for seed in range(10)]
    found = [search(server, SETTINGS) for server in servers]
    assert np.mean([abs(capacity.rps / 20.0 - 1) <= 0.05 for capacity in found]) >= 0.9, [c.rps for c in found]
    assert {capacity.limited_by for capacity in found} == {name}


class NoisyServer(KnownServer):
    """Each probe finds another server: its capacity varies log-normally, and some of them at half its speed."""

    def __init__(self, seed, noise, halved=0.0, **known):
        super().__init__(seed, **known)
        self.noise, self.halved, self.usual = noise, halved, (self.curves, self.most_rps)

    def __call__(self, rate_rps, number, requests):
        factor = math.exp(self.rng.normal(0, self.noise)) * (0.5 if self.rng.random() < self.halved else 1.0)
        curves, most_rps = self.usual
        self.curves = {name: (knee * factor, slope) for name, (knee, slope) in curves.items()}
        self.most_rps = most_rps * factor
        return super().__call__(rate_rps, number, requests)


@pytest.mark.slow
def test_on_a_noisy_machine_the_bounds_hold_and_the_probes_stay_between_them():
    settings = CapacitySearch(probes=8, duration_s=30.0, requests=100)
    covered, outside = [], []
    for seed in range(30):
        bounds = []
        server = NoisyServer(seed, 0.1, most_rps=26.0, itl=(20.0, 10.0))
        found = search(server, settings, 40.0, lambda known, into=bounds: into.append((known.low_rps, known.high_rps)))
        covered.append(found.low_rps <= 20.0 <= found.high_rps)
        missed = next(n for n, probe in enumerate(found.probes) if probe.ratio > 1)
        for (low, high), probe in zip(bounds[missed:], found.probes[missed + 1 :], strict=False):
            outside.append(not low * 0.999 <= probe.rate_rps <= high * 1.001)
    assert np.mean(covered) >= 0.85  # 0.97 over 60 seeds
    assert not any(outside)


def test_a_mean_is_searched_for_by_its_level():
    def measure(rate_rps, number, requests):
        ratio = (rate_rps / 20.0) ** 2 * math.exp(rng.normal(0, 0.02)) if rate_rps < 30.0 else math.inf
        level = Level(math.log(ratio), 0.02) if ratio < math.inf else Level(math.inf, 0.0)
        reading = SloReading({"itl_ms_mean": 50 * ratio}, {"itl_ms_mean": ratio}, {"itl_ms_mean": level})
        return Probe(rate_rps, min(rate_rps, 30.0), requests, reading)

    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found.append(search(measure, SETTINGS, 44.0))
    assert np.mean([abs(capacity.rps / 20.0 - 1) <= 0.05 for capacity in found]) >= 0.9, [c.rps for c in found]
    assert np.mean([capacity.low_rps <= 20.0 <= capacity.high_rps for capacity in found]) >= 0.8
    assert {capacity.limited_by for capacity in found} == {"itl_ms_mean"}


def test_a_short_run_with_long_answers_saturates_nothing_that_keeps_up():
    """Ten seconds of arrivals at 10/s, answers of 12 s: completed / duration is 4.5/s, and the server keeps up."""
    keeps_up = steady_cell(rate_rps=10.0, requests=100, tokens=240, gap_s=0.05)
    assert departure_rps(keeps_up) == pytest.approx(10.0, rel=0.02)
    one_at_a_time = [made(n, n * 0.1, n * 0.1, [(n + 1) * 0.5]) for n in range(100)]
    assert departure_rps(one_at_a_time) == pytest.approx(2.0, rel=0.02)


def test_where_a_probe_met_the_slo_a_saturated_one_below_bounds_nothing():
    met = Probe(20.0, 20.0, 400, SloReading({}, {"itl": 0.9}, {"itl": Tally((0,) * 10, (4000,) * 10)}))
    slow = Probe(15.0, 6.0, 400, SloReading({}, {"itl": 3.0}, {"itl": Tally((2000,) * 10, (4000,) * 10)}))
    found = estimate([met, slow, met], SETTINGS)
    assert found.high_rps > 20.0


def test_a_good_start_saves_probes():
    def probes(start_rps):
        servers = [KnownServer(seed, most_rps=26.0, itl=(20.0, 15.0)) for seed in range(10)]
        return sum(len(search(server, settings, start_rps).probes) for server in servers)

    settings = replace(SETTINGS, precision=0.06)  # eight probes of a server that may vary do not give 3 %
    assert probes(24.0) < probes(None)


def test_a_capacity_above_the_highest_rate_is_not_reached():
    server = KnownServer(1, itl=(500.0, 10.0))
    capacity = search(server, SETTINGS)
    assert (capacity.status, capacity.rps, capacity.high_rps) == ("not_reached", 100.0, None)
    assert server.rates[-1] == 100.0


def test_a_capacity_below_the_lowest_rate_is_said_to_be():
    server = KnownServer(1, itl=(0.01, 10.0))
    capacity = search(server, SETTINGS)
    assert (capacity.status, capacity.rps, capacity.high_rps) == ("below_minimum", None, 0.1)


def test_a_client_that_cannot_produce_the_load_leaves_it_unresolved():
    server = KnownServer(1, valid_to_rps=10.0, itl=(20.0, 10.0))
    capacity = search(server, SETTINGS)
    assert capacity.status == "unresolved" and capacity.low_rps > 7
    nothing = search(KnownServer(1, valid_to_rps=0.0, itl=(20.0, 10.0)), SETTINGS)
    assert (nothing.status, nothing.rps) == ("unresolved", None)


def test_few_probes_leave_it_unresolved_with_what_is_known():
    capacity = search(KnownServer(1, itl=(20.0, 10.0)), CapacitySearch(probes=3))
    assert capacity.status == "unresolved" and len(capacity.probes) == 3
    assert capacity.low_rps < 20 < capacity.high_rps


def test_every_probe_is_within_the_bounds_and_long_enough():
    settings = CapacitySearch(probes=8, min_rps=5.0, max_rps=15.0, requests=50, duration_s=10.0)
    server = KnownServer(1, itl=(14.0, 10.0))
    capacity = search(server, settings, start_rps=99.0)
    assert all(5.0 <= rate <= 15.0 for rate in server.rates)
    assert all(probe.requests >= max(50, 10 * probe.rate_rps - 1) for probe in capacity.probes)


def test_values_that_come_in_clumps_count_for_less():
    rng = np.random.default_rng(0)
    alone = [tally(rng, 0.01, 50_000) for _ in range(8)]
    clumped = [tally(rng, 0.01, 50_000, clumps=50) for _ in range(8)]
    assert design_effect("itl", alone) < 2
    assert 25 < design_effect("itl", clumped) < 60
    grid = np.linspace(0, 5, 2000)
    widths = []
    for tallies in (alone, clumped):
        below = np.cumsum(posterior("itl", grid, [Seen(20.0, t) for t in tallies]).mass)
        widths.append(np.interp(0.95, below, grid) - np.interp(0.05, below, grid))
    assert widths[1] > 2 * widths[0]


def test_a_saturated_server_bounds_the_capacity_by_what_it_achieved():
    grid = np.linspace(0, 5, 2000)
    none_beyond = Tally((0,) * BLOCKS, (100,) * BLOCKS)
    all_beyond = Tally((90,) * BLOCKS, (100,) * BLOCKS)
    mass = posterior("ttft", grid, [Seen(10.0, none_beyond), Seen(40.0, all_beyond, ceiling_rps=15.0)]).mass
    assert mass[grid > math.log(1.1 * 15.0)].sum() < 0.1
    assert mass[grid < math.log(10.0)].sum() < 0.5
    without = posterior("ttft", grid, [Seen(10.0, none_beyond), Seen(40.0, all_beyond)]).mass
    assert without[grid > math.log(1.1 * 15.0)].sum() > 0.2


def test_the_result_is_flat_and_json():
    found = search(KnownServer(1, most_rps=26.0, itl=(20.0, 10.0)), SETTINGS)
    result = capacity_result(found, Slo.of(itl_ms_p99=50.0), 30.0).to_json()
    assert result["capacity_rps_low"] < result["capacity_rps"] < result["capacity_rps_high"]
    assert result["probes"][0].keys() >= {"rate_rps", "achieved_rps", "requests", "ratio", "itl_share_beyond", "valid"}
    assert CapacityResult.from_json(json.loads(json.dumps(result, allow_nan=False))).to_json() == result
