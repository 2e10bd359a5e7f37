"""Programs that take too much: processes, disk, memory, output."""

import time

import pytest

from tests.integration.accuracy.sandbox.limits import LIMITS


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
        counted = done.stdout.split()  # of a machine so busy that the limit was not reached in time: nothing
        assert not counted or 0 < int(counted[0]) <= LIMITS.processes


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


def test_printing_without_end_is_cut(run):
    done = run("while True: print('x' * 1000)")
    assert done.ended == "output" and len(done.stdout) == LIMITS.output_bytes


def test_threads_count_as_processes(run):
    code = """
import threading, time
count = 0
try:
    for _ in range(500): threading.Thread(target=time.sleep, args=(30,), daemon=True).start(); count += 1
except RuntimeError: pass
print(count, flush=True)
import os; os._exit(0)
"""
    done = run(code, memory_bytes=64 << 30)
    assert done.ended == "processes" or int(done.stdout) <= LIMITS.processes, done.stderr


def test_endless_recursion_ends_alone(run):
    code = "import sys; sys.setrecursionlimit(1 << 30)\nf = lambda x: sorted([x], key=f)\nf(1)"
    done = run(code, memory_bytes=1 << 30)
    assert done.returncode != 0 and done.ended in ("exit", "memory")
