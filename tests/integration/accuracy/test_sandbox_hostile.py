"""Programs that try to get out. Everything runs in every sandbox that works here."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from harness.accuracy import sandbox
from harness.accuracy.sandbox import Limits, Sandbox

KINDS = [("bubblewrap", shutil.which("bwrap")), ("unshare", shutil.which("unshare"))]
LIMITS = Limits(wall_s=20, output_bytes=1 << 20, tmp_bytes=32 << 20, file_bytes=8 << 20, processes=32)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind[0])
def box(request):
    kind, program = request.param
    if program is None:
        pytest.skip(f"{kind} is not installed")
    found = Sandbox(kind, program)
    if reason := sandbox._trial(found):
        pytest.skip(f"{kind} does not work here: {reason}")
    return found


@pytest.fixture
def run(box, tmp_path):
    def run(code, **limits):
        bounds = Limits(**{**LIMITS.__dict__, **limits})
        folder = tmp_path / "inside"
        folder.mkdir(exist_ok=True)
        return box.run([sys.executable, "-c", code], limits=bounds, work_dir=folder)

    return run


def test_an_honest_program_runs_and_sees_its_files(box, tmp_path):
    (tmp_path / "data").write_text("hello")
    (tmp_path / "inside").mkdir()
    code = "import json, numpy; print(open('/input/data').read())"
    files = {"/input/data": tmp_path / "data"}
    done = box.run([sys.executable, "-c", code], files=files, limits=LIMITS, work_dir=tmp_path / "inside")
    assert (done.returncode, done.ended, done.stdout) == (0, "exit", b"hello\n"), done.stderr


def test_reads_no_secret_from_any_environment(run, monkeypatch):
    monkeypatch.setenv("HARNESS_TEST_SECRET", "tell-nobody")
    code = """
import glob
for path in ["/proc/self/environ", *glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/cmdline")]:
    try: print(open(path).read())
    except OSError: pass
"""
    done = run(code)
    assert b"PATH=" in done.stdout and b"tell-nobody" not in done.stdout


def test_sees_no_home_no_project_no_other_process(run):
    done = run("import os; print(*[p for p in os.listdir('/proc') if p.isdigit()]); print(*os.listdir('/'))")
    processes, folders = done.stdout.decode().splitlines()
    assert len(processes.split()) <= 6
    assert not {"home", "work", "var", "mnt", "srv", "sys", "run"} & set(folders.split())
    project = os.path.dirname(sandbox.__file__)
    assert (
        run(f"import os; print(os.path.exists({project!r}), os.path.exists('/etc/shadow'))").stdout == b"False False\n"
    )


def test_writes_nothing_outside_its_own_tmp(run):
    places = ["/x", "/usr/x", "/etc/x", "/lib/x", "/dev/x", f"{sys.prefix}/x", "/proc/sys/kernel/hostname"]
    code = f"""
for path in {places!r}:
    try: open(path, "w").write("x"); print(path)
    except OSError: pass
open("/tmp/mine", "w").write("x")
"""
    done = run(code)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert not os.path.exists(f"{sys.prefix}/x") and not os.path.exists("/tmp/mine")


def test_has_no_privilege_left(run):
    done = run(
        "print([line for line in open('/proc/self/status') if line[:6] in ('CapEff', 'CapPrm', 'CapBnd', 'NoNewP')])"
    )
    assert done.stdout.count(b"0000000000000000") == 3 and b"NoNewPrivs:\\t1" in done.stdout


def test_opens_no_socket_to_a_server_of_this_machine(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        port = server.getsockname()[1]
        done = run(f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('connected')")
        assert done.returncode != 0 and b"connected" not in done.stdout
        with pytest.raises(TimeoutError):
            server.accept()


def test_forking_without_end_is_bounded(run):
    code = """
import os
count = 0
while True:
    try:
        if os.fork() == 0:
            while True: pass
        count += 1
    except OSError:
        print(count, flush=True)
        break
import time; time.sleep(60)
"""
    done = run(code, wall_s=3)
    assert done.ended in ("wall", "processes")
    if done.ended == "wall":  # the kernel's limit held
        assert 0 < int(done.stdout.split()[0]) <= LIMITS.processes


def test_a_fork_bomb_leaves_nothing_behind(run):
    mark = "harness_bomb_marker"
    done = run(f"import os, sys\n{mark} = 1\nwhile True:\n  try: os.fork()\n  except OSError: pass", wall_s=2)
    assert done.ended in ("wall", "processes")
    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    assert mark not in listed


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_fills_no_disk(run, folder):
    code = f"""
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
total = 0
for number in range(100):
    try:
        with open(f"{folder}/{{number}}", "wb", buffering=0) as file:
            while True: total += file.write(bytes(1 << 20))
    except OSError as error:
        if error.errno == 28: break
print(total)
"""
    done = run(code)
    assert 0 < int(done.stdout) <= LIMITS.tmp_bytes


def test_a_file_has_a_largest_size(run):
    done = run("import os; open('/tmp/x', 'wb', buffering=0).write(bytes(9 << 20)); print(os.path.getsize('/tmp/x'))")
    assert done.returncode != 0 or int(done.stdout) <= LIMITS.file_bytes


def test_memory_of_a_process_and_of_all_together_is_bounded(run):
    done = run("x = bytearray(3 << 30)", memory_bytes=1 << 30)
    assert b"MemoryError" in done.stderr
    code = "import os, time\nfor _ in range(2): os.fork()\nx = bytearray(os.urandom(1 << 20)) * 200\ntime.sleep(30)"
    started = time.monotonic()
    assert run(code, total_memory_bytes=300 << 20).ended == "memory" and time.monotonic() - started < 15


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


def test_printing_without_end_is_cut(run):
    done = run("while True: print('x' * 1000)")
    assert done.ended == "output" and len(done.stdout) == LIMITS.output_bytes


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


def test_without_a_sandbox_limits_and_the_clean_environment_remain(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_TEST_SECRET", "tell-nobody")
    code = "import os, time; print(dict(os.environ), os.getcwd()); os.fork(); time.sleep(60)"
    done = Sandbox("none").run([sys.executable, "-c", code], limits=Limits(wall_s=1), work_dir=tmp_path)
    assert done.ended == "wall" and b"tell-nobody" not in done.stdout
