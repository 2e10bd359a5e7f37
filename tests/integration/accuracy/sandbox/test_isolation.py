"""A program sees and reaches nothing of the machine but its own files."""

import os
import socket
import sys
from pathlib import Path

import pytest

from harness.accuracy import sandbox
from harness.accuracy.sandbox import Limits, Sandbox
from harness.accuracy.sandbox.request import visible_paths
from tests.integration.accuracy.sandbox.limits import LIMITS


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
    home = str(Path.home())
    done = run(f"""
import os
print(*[name for name in os.listdir('/proc') if name.isdigit()])
print(*os.listdir('/'))
print(*(os.listdir({home!r}) if os.path.isdir({home!r}) else []))
print(os.path.exists({sandbox.__file__!r}), os.path.exists('/etc/shadow'))
""")
    processes, folders, in_home, others = done.stdout.decode().split("\n")[:4]
    assert len(processes.split()) <= 6 and others == "False False"
    ways = [
        Path(path).parts for path in visible_paths()
    ]  # a Python below a home folder is seen, its neighbours are not
    assert not {"home", "var", "mnt", "srv", "root"} & set(folders.split()) - {way[1] for way in ways}
    depth = len(Path(home).parts)
    assert set(in_home.split()) <= {way[depth] for way in ways if way[:depth] == Path(home).parts and len(way) > depth}


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


def test_reaches_no_unix_socket_of_the_host(run, tmp_path):
    abstract, path = f"\0harness-test-{os.getpid()}", str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(abstract), other.bind(path)
        for server in (one, other):
            server.listen(), server.settimeout(0.3)
        done = run(f"""
import socket
for address in ({abstract!r}, {path!r}):
    try: socket.socket(socket.AF_UNIX).connect(address); print("connected")
    except OSError: pass
print("tried")
""")
        assert done.stdout == b"tried\n", done.stderr
        for server in (one, other):
            with pytest.raises(TimeoutError):
                server.accept()


def test_without_a_sandbox_limits_and_the_clean_environment_remain(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_TEST_SECRET", "tell-nobody")
    code = "import os, time; print(dict(os.environ), os.getcwd()); os.fork(); time.sleep(60)"
    done = Sandbox("none").run([sys.executable, "-c", code], limits=Limits(wall_s=1), work_dir=tmp_path)
    assert done.ended == "wall" and b"tell-nobody" not in done.stdout


def test_runs_under_a_umask_that_shuts_others_out_and_reads_files_of_its_owner_alone(box, tmp_path):
    (data := tmp_path / "data").write_text("hello")
    data.chmod(0o600)
    (tmp_path / "inside").mkdir()
    before = os.umask(0o077)
    try:
        done = box.run(
            [sys.executable, "-c", "import numpy; print(open('/input/deep/data').read())"],
            files={"/input/deep/data": data}, limits=LIMITS, work_dir=tmp_path / "inside",
        )  # fmt: skip
        assert sandbox.trial(box) is None
    finally:
        os.umask(before)
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr
    assert data.stat().st_mode & 0o777 == 0o600


def test_binds_are_read_only_where_tmpdir_has_a_space(box, tmp_path, monkeypatch):
    (folder := tmp_path / "a temporary folder").mkdir()
    (folder / "inside").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    done = box.run(["/bin/cat", "/proc/self/mountinfo"], limits=LIMITS, work_dir=folder / "inside")
    points = {fields[4]: fields[5] for fields in map(str.split, done.stdout.decode().splitlines())}
    assert "/usr" in points
    writable = {point for point, options in points.items() if options.startswith("rw")}
    assert {point for point in writable if not point.startswith("/dev")} <= {"/tmp", "/proc"}
