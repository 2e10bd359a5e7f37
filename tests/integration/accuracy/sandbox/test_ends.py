"""A run ends, and nothing outlives it."""

import os
import signal
import subprocess
import sys

import pytest

from tests.integration.accuracy.sandbox.limits import LIMITS
from tests.integration.accuracy.sandbox.processes import eventually, nothing_runs, running


def test_a_fork_bomb_leaves_nothing_behind(run):
    mark = "harness_bomb_marker"
    done = run(f"import os, sys\n{mark} = 1\nwhile True:\n  try: os.fork()\n  except OSError: pass", wall_s=2)
    assert done.ended in ("wall", "processes")
    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    assert mark not in listed


def test_ignoring_every_signal_does_not_help(run):
    code = """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
print("ready", flush=True)
while True: time.sleep(1)
"""
    done = run(code, wall_s=1.5)
    assert (done.ended, done.stdout) == ("wall", b"ready\n") and done.wall_s < 5


def test_silence_is_noticed(run):
    assert run("import time; print('a', flush=True); time.sleep(60)", silence_s=0.7).ended == "silence"


def test_a_process_that_hides_in_its_own_session_dies_too(run):
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(47.11)
    os._exit(0)
"""
    run(code)
    command = ["pgrep", "-f", "time.sleep.47.11"]
    assert subprocess.run(command, capture_output=True).stdout == b""


def test_sleeping_for_ever_and_closing_every_output_end_at_the_clock(run):
    assert run("import time; time.sleep(1e6)", wall_s=2).ended == "wall"
    done = run("import os, time\nos.close(1); os.close(2)\ntime.sleep(30)", wall_s=4)
    assert done.wall_s < 15
    assert nothing_runs("time.sleep.30.")


@pytest.mark.parametrize("hidden", ["os.setsid()", "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))"])
def test_nothing_outlives_the_run(run, hidden):
    mark = f"outlives-{os.getpid()}-{len(hidden)}"
    code = f"""
import os, signal, time
for _ in range(3):
    if os.fork() == 0:
        {hidden}
        if os.fork() == 0:
            os.execv({sys.executable!r}, ["python", "-c", "import time; time.sleep(60)", {mark!r}])
        os._exit(0)
time.sleep(1)
print("done")
"""
    done = run(code)
    assert done.stdout == b"done\n" and nothing_runs(mark), done.stderr


def test_a_harness_that_is_killed_takes_the_sandbox_with_it(box, tmp_path):
    if box.kind == "container":
        pytest.skip("a container is its daemon's: podman ends it at its --timeout, docker does not")
    (folder := tmp_path / "inside").mkdir()
    mark = f"orphan-{os.getpid()}"
    code = f"""
import sys
from pathlib import Path
from harness.accuracy.sandbox import Limits, Sandbox
command = [sys.executable, "-c", "import time; time.sleep(60)", {mark!r}]
Sandbox({box.kind!r}, {box.program!r}).run(command, limits=Limits(wall_s=60), work_dir=Path({str(folder)!r}))
"""
    harness = subprocess.Popen([sys.executable, "-c", code])
    assert eventually(lambda: running(f"^{sys.executable} -c import time; time.sleep.60. {mark}"))  # inside
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    assert eventually(lambda: nothing_runs(f"time.sleep.60. {mark}"))


def test_a_run_that_is_cancelled_is_killed(box, tmp_path):
    (tmp_path / "inside").mkdir()
    asked = iter([False] * 3)
    done = box.run(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        limits=LIMITS, work_dir=tmp_path / "inside", cancelled=lambda: next(asked, True),
    )  # fmt: skip
    assert done.ended == "cancelled"
