"""A real child process under the real watchdog: ready, dead at start, deaf to SIGTERM; harness and watchdog killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

from harness.engines import leftovers
from harness.engines.environment import run_logged
from harness.engines.process import ServerProcess, free_port, port_in_use
from harness.errors import DiskFull, EngineError, HarnessError
from harness.redaction import masking
from harness.redaction.learning import learn

SERVER = """
import http.server, signal, subprocess, sys
port, deaf = int(sys.argv[1]), sys.argv[2] == "deaf"
if deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
# a worker in a session of its own, as an engine may have
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("worker", worker.pid, flush=True)
http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


def released(port: int, within_s: float = 10.0) -> bool:
    """The deaf server dies of SIGKILL a grace period after its worker, which SIGTERM ends."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not port_in_use(port):
            return True
        time.sleep(0.05)
    return False


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
    except OSError:
        return False
    return True


def worker_of(log: Path) -> int:
    return int(next(line.split()[1] for line in log.read_text().splitlines() if line.startswith("worker")))


def command(tmp_path: Path, port: int, manner: str = "polite") -> list[str]:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    return [sys.executable, str(script), str(port), manner]


@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_nothing_is_left_behind(tmp_path, manner):
    port, log = free_port(), tmp_path / "server.log"
    process = ServerProcess(command(tmp_path, port, manner), {}, log, grace_s=1.0)
    assert process.wait_ready(lambda: answers(port), 20, "server") > 0
    worker = worker_of(log)
    process.stop()
    assert gone(worker)
    assert not port_in_use(port)


def test_the_end_of_the_log_is_in_the_error(tmp_path):
    log = tmp_path / "server.log"
    code = "import sys; print('ValueError: unknown quantization fp9', file=sys.stderr); sys.exit(3)"
    process = ServerProcess([sys.executable, "-c", code], {}, log, grace_s=1.0)
    with pytest.raises(EngineError, match=r"(?s)variant x died at start with exit code 3.*fp9.*server\.log"):
        process.wait_ready(lambda: False, 20, "variant x")
    process.stop()


def test_the_log_has_no_secret_however_it_is_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(masking, "_known", masking._Known())
    learn("k9Xw2Lq8Rt5Vb7Nm3")
    code = """
import os, sys, time
for piece in ("begin k9Xw2L", "q8Rt5Vb7Nm3 end\\n", "50 % k9Xw2Lq8Rt5Vb7Nm3\\r", "x" * 100000 + "\\n"):
    os.write(1, piece.encode()); time.sleep(0.05)
print(os.environ["INDEX"], file=sys.stderr, flush=True)
os.write(2, b"\\xff not UTF-8, no end of line: k9Xw2Lq8Rt5Vb7Nm3")
"""
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(code)
    env = {"INDEX": "http://ci:secretpw@127.0.0.1/simple"}
    process = ServerProcess([sys.executable, str(script), "--token", "k9Xw2Lq8Rt5Vb7Nm3"], env, log, grace_s=1.0)
    assert process.wait() == 0
    process.stop()
    said = log.read_bytes()
    assert b"begin *** end\n" in said and b"50 % ***\n" in said and b"x" * 100000 + b"\n" in said
    assert b"http://***@127.0.0.1/simple\n" in said and said.endswith(b"\\udcff not UTF-8, no end of line: ***")
    assert b"k9Xw2L" not in said


def test_the_log_has_no_escape_sequence_and_no_line_over_another(tmp_path):
    said = "\x1b[1;36m(Core)\x1b[0m up\x1b]0;title\x07\x1b[2J 10%\r20%\r\n\ttab \x9b5n \u202e \xff end\n"
    log = tmp_path / "log"
    code = f"import sys; sys.stdout.buffer.write({said!r}.encode() + b'\\xff\\n')"
    process = ServerProcess([sys.executable, "-c", code], {}, log, grace_s=1.0)
    assert process.wait() == 0
    process.stop()
    escaped = "(Core) up\\u001b]0;title\\u0007\\u001b[2J 10%\n20%\n\ttab \\u009b5n \\u202e \xff end\n\\udcff\n"
    assert log.read_text().endswith(escaped)


def test_lines_for_us_are_as_they_were_printed_and_the_rest_is_masked(tmp_path, monkeypatch):
    monkeypatch.setattr(masking, "_known", masking._Known())
    learn("k9Xw2Lq8Rt5Vb7Nm3")
    code = "import sys; print('{}'); print('k9Xw2Lq8Rt5Vb7Nm3', file=sys.stderr)"
    process = ServerProcess([sys.executable, "-c", code], {}, tmp_path / "log", grace_s=1.0, talks=True)
    assert list(process.lines(20)) == [b"{}"]
    process.wait()
    process.stop()
    assert (tmp_path / "log").read_text().endswith("***\n")


def test_pip_and_an_index_with_a_password(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://ci:sEcretIndex77@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    pip = [sys.executable, "-m", "pip", "-v", "--disable-pip-version-check", "download", "--no-deps", "absent-package"]
    with pytest.raises(HarnessError, match="failed with exit code 1") as failed:
        run_logged(pip, tmp_path / "log", "environment")
    assert "sEcretIndex77" not in (tmp_path / "log").read_text() + str(failed.value)


def test_too_slow_is_said(tmp_path):
    process = ServerProcess([sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "log", grace_s=0.5)
    with pytest.raises(EngineError, match="not ready after 1 s"):
        process.wait_ready(lambda: False, 1.0, "variant x")
    process.stop()


def test_kill_9_of_the_harness_takes_the_server_along(tmp_path):
    port, log = free_port(), tmp_path / "server.log"
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from harness.engines.process import ServerProcess
        p = ServerProcess({command(tmp_path, port, "deaf")!r}, {{}}, Path({str(log)!r}), grace_s=1.0)
        time.sleep(600)
    """)
    harness = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 20
    while not answers(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = worker_of(log)
    assert alive(worker)
    os.kill(harness.pid, signal.SIGKILL)
    harness.wait()
    assert gone(worker)
    assert released(port)


def records(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob(leftovers.RECORDS))


@pytest.mark.parametrize("manner", ["polite", "deaf"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_watchdog_that_is_killed_or_stopped_leaves_nothing(tmp_path, manner, number):
    port, log = free_port(), tmp_path / "server.log"
    process = ServerProcess(command(tmp_path, port, manner), {}, log, grace_s=1.0)
    process.wait_ready(lambda: answers(port), 20, "server")
    worker = worker_of(log)
    assert len(records(tmp_path)) == 1
    os.kill(process._process.pid, number)
    process.stop()
    assert not alive(worker) and not port_in_use(port)
    assert records(tmp_path) == []


def test_a_watchdog_that_died_before_it_read_its_orders_is_no_traceback(tmp_path):
    process = ServerProcess(["sleep", "600"], {}, tmp_path / "server.log", grace_s=1.0)
    stdin = process._process.stdin
    process._process.kill()
    process._process.wait()
    stdin.write(b"not read")  # buffered: closing writes it
    process.stop()
    assert stdin.closed and process.exit_code() == -signal.SIGKILL


def test_a_watchdog_that_is_killed_takes_a_polite_server_along_without_the_harness(tmp_path):
    """The kernel sends SIGTERM: nobody else is there to do it."""
    port, log = free_port(), tmp_path / "server.log"
    process = ServerProcess(command(tmp_path, port), {}, log, grace_s=1.0)
    process.wait_ready(lambda: answers(port), 20, "server")
    os.kill(process._process.pid, signal.SIGKILL)
    assert released(port)
    process.stop()


def test_what_outlives_harness_and_watchdog_is_found_by_the_next_start(tmp_path):
    port, logs = free_port(), tmp_path / "results/study/logs"
    logs.mkdir(parents=True)
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from harness.engines.process import ServerProcess
        p = ServerProcess({command(tmp_path, port, "deaf")!r}, {{}}, Path({str(logs / "server.log")!r}), grace_s=1.0)
        print(p._process.pid, flush=True)
        time.sleep(600)
    """)
    harness = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    watchdog = int(harness.stdout.readline())
    deadline = time.monotonic() + 20
    while not answers(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = worker_of(logs / "server.log")
    assert leftovers.find(tmp_path / "results") == [], "its harness runs"
    for number in (signal.SIGSTOP, signal.SIGKILL):
        os.kill(watchdog, number), os.kill(harness.pid, number)
    harness.wait()
    (left,) = leftovers.find(tmp_path / "results")
    assert left.marked and port_in_use(port)
    leftovers.stop(left, grace_s=0.5)
    assert not alive(worker) and not port_in_use(port) and records(logs) == []


def test_a_log_on_a_full_disk_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskFull, match=str(tmp_path)):
        ServerProcess(["true"], {}, tmp_path / "log", grace_s=1.0)


FULL = "OSError: [Errno 28] No space left on device: '/data/cache/part.whl'"


def test_a_command_that_ran_out_of_space_is_said_so(tmp_path):
    log = tmp_path / "setup.log"
    full = [sys.executable, "-c", f"import sys; sys.exit({FULL!r})"]
    with pytest.raises(DiskFull, match=r"no space left for /data/cache .*setup\.log"):
        run_logged(full, log, "environment")
    process = ServerProcess(full, {}, log, grace_s=1.0)
    with pytest.raises(DiskFull, match="/data/cache"):
        process.wait_ready(lambda: False, 20, "variant x")
    process.stop()
    with pytest.raises(HarnessError, match="failed with exit code 1") as other:
        run_logged([sys.executable, "-c", "import sys; sys.exit('something else')"], log, "environment")
    assert not isinstance(other.value, DiskFull), "the log still holds what an earlier command said"
