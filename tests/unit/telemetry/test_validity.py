"""Which cells are flagged for what their GPUs did, and what preflight says of other people's processes."""

from dataclasses import replace

import pytest

from harness.machine.devices import Device
from harness.records import Window
from harness.records.telemetry import ForeignProcess
from harness.sweeps.kinds import KINDS
from harness.telemetry.flags import flags
from harness.telemetry.processes import lines, strangers
from harness.telemetry.summary import summarize
from tests.unit.telemetry.samples import FACTS, samples

H100 = Device(0, "GPU-0", "NVIDIA H100")
TEN_S = Window(100.0, 0.0, 10.0)


def flagged(kind="load", foreign=(), facts=FACTS, **fields):
    telemetry = summarize(samples(**fields), [facts], TEN_S, 0.25)
    found = flags(replace(telemetry, foreign_processes=foreign), KINDS[kind].times)
    return [(flag.code, flag.level) for flag in found], " ".join(flag.message for flag in found)


@pytest.mark.parametrize("bit", [0x08, 0x20, 0x40, 0x80])
def test_heat_and_power_supply_flag_a_load_cell(bit):
    codes, message = flagged(reasons=lambda n: bit if n >= 37 else 0, sm_mhz=lambda n: 840 if n >= 37 else 1980)
    assert codes == [("gpu_throttled", "caution")]
    assert "in 10% of the busy samples, SM clock down to 840 MHz of 1980, up to 60 °C" in message


def test_clocks_say_nothing_of_an_answer():
    assert flagged("accuracy", reasons=0x40)[0] == [("gpu_throttled", "note")]
    assert flagged("judge", reasons=0x40)[0] == [("gpu_throttled", "note")]


def test_one_sample_and_idle_samples_are_not_enough():
    assert flagged(reasons=lambda n: 0x08 if n == 3 else 0)[0] == [], "clocks that change show it too"
    assert flagged(reasons=0x41, utilization=0.0)[0] == []
    assert flagged(reasons=0x1 | 0x2 | 0x10)[0] == [], "idle, application clocks, sync boost: no fault"
    assert flagged(reasons=None)[0] == [], "not told"


def test_the_power_cap_is_a_note_on_a_card_as_shipped_and_a_caution_on_another():
    assert flagged(reasons=0x4)[0] == [("gpu_power_capped", "note")]
    codes, message = flagged(reasons=0x4, facts=FACTS | {"power_limit_w": 350.0})
    assert codes == [("gpu_power_capped", "caution")]
    assert "the limit is 350 W instead of 700 W" in message


def test_a_neighbour_flags_the_cell():
    codes, message = flagged(foreign=(ForeignProcess(77, "python", 1), ForeignProcess(9, None, 1)))
    assert codes == [("gpu_shared", "caution")]
    assert "process 77 (python), process 9 (not visible from here) used its GPUs too" in message


def process(pid, own, name="python"):
    return {"pid": pid, "bytes": 40_200_000_000, "name": name, "own": own}


def test_who_is_not_below_the_harness_is_a_stranger():
    ours, theirs = process(10, True), process(20, False)
    assert strangers([ours], [ours, theirs]) == [theirs]
    assert strangers([ours, theirs], [ours, theirs]) == [theirs], "it was there before the engine was ready"
    assert strangers([ours], [ours, process(11, True)]) == [], "a worker that the server started later"


def test_pids_of_the_host_are_taken_for_the_servers_if_they_were_there_at_its_start():
    ours, later = process(645_400, False, None), process(645_999, False, None)
    assert strangers([ours], [ours]) == []
    assert strangers([ours], [ours, later]) == [later]
    assert strangers([], [later]) == [later]


def test_preflight_names_the_process_and_what_it_holds():
    assert list(lines(H100, [process(1234, False)], 41 << 30, 80 << 30)) == [
        "GPU 0 (NVIDIA H100): process 1234 (python) holds 40.2 GB; stop it, or choose other GPUs with "
        "CUDA_VISIBLE_DEVICES"
    ]
    (hidden,) = lines(H100, [process(1234, False, None)], 41 << 30, 80 << 30)
    assert "a process holds 40.2 GB that cannot be seen from here (pid 1234, of another container" in hidden
    (untold,) = lines(H100, [process(1234, False) | {"bytes": None}], None, None)
    assert "process 1234 (python) is on it" in untold


def test_memory_that_nobody_listed_holds_is_somebodys():
    (line,) = lines(H100, [], 40_200_000_000, 85_899_345_920)
    assert "40.2 of 85.9 GB are taken and the driver lists no process" in line
    (line,) = lines(H100, None, 40_200_000_000, 85_899_345_920)
    assert "does not list processes here" in line
    assert list(lines(H100, [], 600 << 20, 80 << 30)) == [], "the driver's own"
    assert list(lines(H100, [], None, None)) == [], "not told is not taken"
