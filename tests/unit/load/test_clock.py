"""The kernel's stamps on the monotonic clock, while somebody sets the system's clock."""

import os
from random import Random
from types import SimpleNamespace

import pytest

from harness.loadgen.client import connections
from harness.loadgen.client.connections import Clock
from harness.loadgen.client.loop import Loop

MS = 1_000_000


class TwoClocks:
    """In place of the module `time`: a monotonic clock, and a real one that can be set."""

    def __init__(self):
        self.monotonic, self.real_ahead = 10**12, 7 * 10**17

    def monotonic_ns(self):
        self.monotonic += 100
        return self.monotonic

    def time_ns(self):
        self.monotonic += 100
        return self.monotonic + self.real_ahead


@pytest.fixture
def clocks(monkeypatch):
    clocks = TwoClocks()
    monkeypatch.setattr(connections, "time", clocks)
    return clocks


def stamped(clock, realtime_ns, floor_s=0.0):
    """As a connection takes a stamp."""
    moment = (realtime_ns + clock.offset_ns) / 1e9
    return moment if floor_s <= moment <= clock.latest_s else clock.second_look(moment, floor_s)


def test_a_stamp_is_the_moment_of_arrival(clocks):
    clock = Clock(clocks.monotonic)
    clocks.monotonic += 50 * MS
    arrived = clocks.time_ns()
    clocks.monotonic += 200 * MS
    assert stamped(clock, arrived) == pytest.approx(0.050, abs=1e-5)  # however late it is read
    clock.set()
    assert stamped(clock, arrived) == pytest.approx(0.050, abs=1e-5)


def test_slewing_is_followed_and_is_no_step(clocks):
    clock = Clock(clocks.monotonic)
    for _ in range(1000):
        clocks.monotonic += 20 * MS
        clocks.real_ahead += 10_000
        clock.set()
    assert clock.steps == 0
    assert stamped(clock, clocks.time_ns()) == pytest.approx(20.0, abs=1e-3)


@pytest.mark.parametrize("step_ms", [5000, 40, 2, -2, -40, -5000])
def test_after_a_step_no_stamp_of_the_reads_at_hand_moves_by_more_than_the_step(clocks, step_ms):
    clock = Clock(clocks.monotonic)
    clocks.monotonic += 100 * MS
    before = clocks.time_ns()
    clocks.real_ahead += step_ms * MS
    after = clocks.time_ns()
    clock.set()
    assert clock.steps == 1 and clock.step_ns_max == pytest.approx(abs(step_ms) * MS, rel=0.01)
    for taken in (stamped(clock, before, 0.0999), stamped(clock, after, 0.0999)):
        assert taken is not None and abs(taken - 0.1) <= max(abs(step_ms) / 1e3, 1e-4) + 1e-5
        assert abs(taken - 0.1) < 3e-4 or abs(step_ms) < 40, "one that only one of the clocks can have given is exact"
    clock.set()
    assert clock.steps == 1
    assert stamped(clock, clocks.time_ns()) == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("step_ms", [30, -30, 5000, -5000, -10.5])
def test_a_stamp_that_cannot_be_is_read_again_by_the_clock_that_was_set_meanwhile(clocks, step_ms):
    clock = Clock(clocks.monotonic)
    clocks.monotonic += 100 * MS
    clock.set()
    clocks.real_ahead += int(step_ms * MS)  # unseen until the clock is read again
    for floor_s in (0.09, 0.1):  # of two reads, one after the other
        assert stamped(clock, clocks.time_ns(), floor_s) == pytest.approx(0.1, abs=2e-4)
    assert clock.steps == 1 and clock.step_ns_max == pytest.approx(abs(step_ms) * MS, rel=0.01)


@pytest.mark.parametrize("seed", range(40))
def test_one_step_moves_no_token_by_more_than_itself(clocks, seed):
    """Tokens 1 to 20 ms apart, read up to 60 ms late and several at once; the step comes before any one of them."""
    random = Random(seed)
    clock, floor_s = Clock(clocks.monotonic), 0.0
    step_ms, stepped = random.choice([-1, 1]) * 10 ** random.uniform(0.2, 3.5), random.randrange(30)
    pending = []
    for token in range(30):
        clocks.monotonic += int(random.uniform(1, 20) * MS)
        if token == stepped:
            clocks.real_ahead += int(step_ms * MS)
        pending.append(((clocks.monotonic - clock.start_ns) / 1e9, clocks.time_ns()))
        if random.random() < 0.5 or token == 29:
            clocks.monotonic += int(random.uniform(0, 60) * MS)
            if random.random() < 0.7:
                clock.set()
            for arrived_s, stamp_ns in pending:
                taken = stamped(clock, stamp_ns, floor_s)
                assert taken is not None and taken >= floor_s
                assert abs(taken - arrived_s) <= abs(step_ms) / 1e3 + 3e-4
                floor_s = taken
            pending = []


def test_a_stamp_that_neither_clock_can_have_given_is_none(clocks):
    clock = Clock(clocks.monotonic)
    clocks.monotonic += 100 * MS
    arrived = clocks.time_ns()
    clocks.real_ahead += 3000 * MS
    assert stamped(clock, arrived - 5000 * MS, 0.09) is None and stamped(clock, arrived + 9000 * MS, 0.09) is None


@pytest.mark.parametrize("step_ms", [-5, -40, 5])
def test_a_step_between_two_reads_that_moves_a_stamp_unseen_is_counted_by_the_next_look(clocks, step_ms):
    clock = Clock(clocks.monotonic)
    clocks.monotonic += 100 * MS
    clock.set()
    clocks.real_ahead += step_ms * MS
    moved = stamped(clock, clocks.time_ns(), 0.05)  # the token before came at 0.05 s
    assert moved is not None and abs(moved - 0.1) <= abs(step_ms) / 1e3 + 1e-3
    clock.set()
    assert clock.steps == 1 and clock.step_ns_max == pytest.approx(abs(step_ms) * MS, rel=0.01)


def test_a_step_during_the_last_reads_of_a_cell_is_counted(clocks):
    target = SimpleNamespace(head=lambda headers: b"", tls=False, host="127.0.0.1")
    loop = Loop(SimpleNamespace(target=target, headers={}, address=None), [], b"", None)
    loop._clock = Clock(clocks.monotonic)
    clocks.real_ahead -= 5 * MS
    stop, _ = pipe = os.pipe()
    try:
        loop.run(clocks.monotonic, stop, lambda done: None)
    finally:
        for end in pipe:
            os.close(end)
    assert loop.clock_steps == (1, pytest.approx(0.005, rel=0.01))


def test_a_reading_that_lost_its_core_between_the_clocks_is_no_step(clocks, monkeypatch):
    clock = Clock(clocks.monotonic)
    reading, late = clocks.time_ns, [True]

    def time_ns():
        if late:
            late.pop()
            clocks.monotonic += 8 * MS
        return reading()

    monkeypatch.setattr(clocks, "time_ns", time_ns)
    clock.set()
    assert clock.steps == 0
    assert stamped(clock, clocks.time_ns()) == pytest.approx(0.008, abs=1e-4)


def test_two_readings_of_the_offset_may_differ_a_little(clocks):
    clock = Clock(clocks.monotonic)
    clocks.monotonic += 10 * MS
    arrived = clocks.time_ns()
    floor_s = stamped(clock, arrived) + 5e-5
    assert stamped(clock, arrived, floor_s) == floor_s
    assert stamped(clock, arrived, floor_s + 1e-3) is None
