"""Flags of load cells that did not have the machine, or their cores, to themselves."""

import os
import subprocess
import sys
import time

import pytest

from harness.machine.core_use import CoreUse, busy_ticks, core_use
from harness.records.interference import ACCURACY, LOAD, Beside, Change, Interference
from harness.sweeps.distributed.neighbours import neighbour_flag, watching

HARMLESS = tuple(Change(metric, 10.0, 1.0, 0.995, 1.005) for metric in ("itl_ms_p50", "itl_ms_p99"))
HARMFUL = (Change("itl_ms_p99", 10.0, 1.031, 1.02, 1.042),)


def test_neighbours_whose_effect_was_not_measured_are_a_flag():
    flag = neighbour_flag({"fp8": True}, None)
    assert flag and flag.code == "neighbours" and flag.level == "caution"
    assert flag.message == "measured beside fp8 on the same machine; their effect was not measured"


def test_neighbours_of_a_kind_that_changes_nothing_are_none():
    result = Interference(sessions=2, beside=(Beside(LOAD, HARMFUL), Beside(ACCURACY, HARMLESS)))
    assert neighbour_flag({"mmlu": False}, result) is None
    flag = neighbour_flag({"mmlu": False, "fp8": True}, result)
    assert flag and "by the machine's interference test: itl_ms_p99 +3.1 % [+2.0, +4.2]" in flag.message


def test_time_of_others_is_what_the_cores_were_busy_less_ours():
    before, after = CoreUse(10.0, busy=500, ours=100), CoreUse(20.0, busy=1500, ours=850)
    ticks = os.sysconf("SC_CLK_TCK")
    assert after.others_since(before, cores=2) == pytest.approx(250 / (10 * 2 * ticks))


def test_idle_time_and_other_cores_do_not_count():
    stat = "cpu  99 9 9 9 9 9 9 9 0 0\ncpu0 5 1 2 900 80 3 4 6 5 0\ncpu1 70 0 0 0 0 0 0 0 0 0\nintr 5 1\n"
    assert busy_ticks(stat, [0]) == 5 + 1 + 2 + 3 + 4 + 6
    assert busy_ticks(stat, [0, 1]) == 91


def test_a_process_that_is_not_ours_is_seen_on_our_core_and_a_child_of_ours_is_not():
    core = min(os.sched_getaffinity(0))
    burn = f"import os, time; os.sched_setaffinity(0, [{core}]); end = time.time() + 1.2\nwhile time.time() < end: pass"
    before = core_use([core])
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    after = core_use([core])
    assert before and after and after.ours - before.ours >= 0.2 * os.sysconf("SC_CLK_TCK"), "our child's time is ours"
    orphan = f"import os, sys\nif os.fork(): sys.exit()\nos.setsid()\n{burn}"
    with watching([core]) as watched:
        subprocess.run([sys.executable, "-c", orphan], check=True)
        time.sleep(1.2)
    [flag] = watched.flags
    assert flag.code == "foreign_cpu" and "of the session's 1 CPU cores" in flag.message


def test_a_session_that_is_bound_to_no_cores_is_not_watched():
    with watching(()) as watched:
        pass
    assert watched.flags == []
