"""The client's processes: what they share, what stalls or kills them, and that none is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.errors import CellError
from tests.integration.load.client_run import run


def test_a_stall_of_the_client_shows_in_the_intended_send_figures(scripted):
    """Coordinated omission: the requests due during the stall are sent late, and their wait must not vanish."""

    def stall():
        worker = worker_of(scripted)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(worker, signal.SIGCONT)

    stalling = threading.Thread(target=stall)
    stalling.start()
    samples, result = run(scripted.server, [0.0, *np.linspace(0.1, 0.4, 20)], tokens=2)
    stalling.join()
    assert result["send_lag_ms_p99"] > 100
    late = max(samples, key=lambda s: s.send_lag_s)
    assert late.token_s[0] - late.intended_s > 0.1
    assert result["ttft_ms_p99"] > result["ttft_from_send_ms_p50"] + 100


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.mark.parametrize("workers", [2, 3])
def test_the_offered_load_is_the_same_for_any_number_of_workers(scripted, workers):
    times = [0.0, 0.02, 0.04, 0.05, 0.05, 0.2, 0.21]
    samples, result = run(scripted.server, times, workers=workers)
    assert [s.intended_s for s in samples] == times
    assert [s.index for s in samples] == list(range(7))
    assert result["requests_completed"] == 7
    scripted.most_in_flight = 0
    run(scripted.server, [0.0] * 12, workers=workers, concurrency=4, tokens=20)
    assert scripted.most_in_flight == 4


def test_a_worker_that_dies_is_an_error_of_the_cell(scripted):
    scripted.script = ["silent"]
    killer = threading.Thread(target=lambda: os.kill(worker_of(scripted), signal.SIGKILL))
    killer.start()
    with pytest.raises(CellError, match="load worker 0 ended with exit code -9"):
        run(scripted.server, [0.0])
    killer.join()


def test_no_worker_outlives_its_parent(scripted):
    program = textwrap.dedent(f"""
        from harness.engines import Server
        from harness.loadgen.client.schedule import run_schedule
        from harness.loadgen.client.requests import make_request
        from harness.loadgen.client.trace import Asked
        server = Server("http://127.0.0.1:{scripted.port}", "tiny")
        requests = [make_request(0, 0.0, "tiny", [1], Asked(1, 1))]
        with run_schedule(server, requests, concurrency=None, request_timeout_s=60, cell_timeout_s=60):
            pass
    """)
    scripted.script = ["silent"]
    parent = subprocess.Popen([sys.executable, "-c", program])
    worker = worker_of(scripted, parent.pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}/cmdline").exists()


@pytest.mark.parametrize(("limit", "asked"), [(20, 0), (20_000, 4)], ids=["the requests", "the answers"])
def test_what_does_not_fit_into_the_temporary_folder_names_it(scripted, tmp_path, limit, asked):
    """Requests of some 100 bytes are written before a worker starts; answers of 64 tokens take some 6 KB."""
    program = textwrap.dedent(f"""
        import resource
        from harness.engines import Server
        from harness.errors import DiskFull
        from harness.loadgen.client.schedule import run_schedule
        from harness.loadgen.client.requests import make_request
        from harness.loadgen.client.trace import Asked
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
        server = Server("http://127.0.0.1:{scripted.port}", "tiny")
        requests = [make_request(n, 0.0, "tiny", [1], Asked(1, 64)) for n in range(4)]
        try:
            with run_schedule(server, requests, concurrency=None, request_timeout_s=60, cell_timeout_s=60):
                pass
        except DiskFull as error:
            print(error)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert f"no space left for {tmp_path}/harness-load-" in done.stdout and "File too large" in done.stdout, done.stderr
    assert len(scripted.bodies) == asked and list(tmp_path.iterdir()) == []


def worker_of(scripted, parent: int | None = None) -> int:
    """The one worker that `parent` has, once its first request has come."""
    while not scripted.arrived_s:
        time.sleep(0.005)
    (worker,) = [child for child in children(parent or os.getpid()) if "loadgen.client.worker" in command_line(child)]
    return worker
