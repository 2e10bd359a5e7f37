"""Programs that try to get out. Everything runs in every sandbox that works here."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness.accuracy import sandbox
from harness.accuracy.sandbox import Limits, Sandbox
from harness.accuracy.sandbox.request import visible_paths

LIMITS = Limits(wall_s=20, output_bytes=1 << 20, tmp_bytes=32 << 20, file_bytes=8 << 20, processes=32)


@pytest.fixture(scope="module", params=list(sandbox.KINDS))
def box(request):
    reasons = []
    for found in sandbox.candidates():
        if found.kind == request.param:
            if (reason := sandbox.trial(found)) is None:
                return found
            reasons.append(reason)
    pytest.skip(f"{request.param} does not work here: {'; '.join(reasons) or 'not installed'}")


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


# Each prints "escaped" for whatever works that must not, and "tried" at its end.
PRELUDE = """
import ctypes, os, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments): return libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
def attempt(what, do):
    try: result = do()
    except BaseException as error: return
    if result not in (-1, None, False): print("escaped:", what, result)
"""
NUMBERS = {"x86_64": 0, "aarch64": 1}.get(os.uname().machine)
ATTEMPTS = {
    "sockets of every family": """
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET, 40):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                attempt(f"socket {family} {kind}", lambda: bool(socket.socket(family, kind)))
    """,
    "new namespaces": """
        for flags in (0x10000000, 0x10020000, 0x40000000, 0x20000000, 0x00020000, 0x02000000):
            attempt(f"unshare {flags:#x}", lambda: libc.unshare(flags) == 0)
            attempt(f"clone {flags:#x}", lambda: libc.syscall(CLONE, flags | 17, 0, 0, 0, 0) >= 0)
        for name in os.listdir("/proc/1/ns") if os.access("/proc/1/ns", os.R_OK) else []:
            attempt("setns", lambda: libc.setns(os.open(f"/proc/1/ns/{name}", os.O_RDONLY), 0) == 0)
    """,
    "mounts": """
        attempt("tmpfs", lambda: libc.mount(b"x", b"/tmp", b"tmpfs", 0, None) == 0)
        attempt("proc", lambda: libc.mount(b"x", b"/tmp", b"proc", 0, None) == 0)
        attempt("bind", lambda: libc.mount(b"/", b"/tmp", None, 4096, None) == 0)
        attempt("remount", lambda: libc.mount(None, b"/usr", None, 4096 | 32, None) == 0)
        attempt("umount", lambda: libc.umount2(b"/proc", 2) == 0)
    """,
    "chroot": """
        os.makedirs("/tmp/jail")
        attempt("chroot", lambda: os.chroot("/tmp/jail") is None)
        attempt("pivot_root", lambda: libc.syscall(PIVOT_ROOT, b"/tmp", b"/tmp/jail") == 0)
        for _ in range(20): os.chdir("..")
        attempt("above the root", lambda: set(os.listdir(".")) != set(os.listdir("/")))
    """,
    "files of the host": """
        places = [f"/proc/{p}/{d}" for p in ("1", "self", str(os.getppid())) for d in ("root", "cwd")] + ["/old", "/.."]
        for place in places:
            attempt(place, lambda: os.path.exists(place + SECRET_FILE))
        attempt("link", lambda: os.link("/usr/bin/env", "/usr/bin/env2") is None)
        attempt("block device", lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0)) is None)
        attempt("character device", lambda: os.mknod("/tmp/mem", 0o20666, os.makedev(1, 1)) is None)
        for path in ("/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/net/tun", "/dev/tty", "/dev/kvm"):
            attempt(path, lambda: os.open(path, os.O_RDWR) >= 0)
    """,
    "the kernel's settings": """
        for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches",
                     "/sys/kernel/mm/ksm/run", "/sys/fs/cgroup/cgroup.procs", "/proc/sys/user/max_user_namespaces"):
            attempt(path, lambda: os.open(path, os.O_WRONLY) >= 0)
        attempt("host name", lambda: libc.sethostname(b"x", 1) == 0)
        attempt("clock", lambda: libc.settimeofday(struct.pack("qq", 0, 0), None) == 0)
        attempt("bpf", lambda: libc.syscall(BPF, 0, None, 0) >= 0)
        attempt("perf", lambda: libc.syscall(PERF, None, 0, -1, -1, 0) >= 0)
        attempt("keyring", lambda: libc.syscall(ADD_KEY, b"user", b"x", b"y", 1, -3) >= 0)
        attempt("io_uring", lambda: libc.syscall(425, 8, ctypes.create_string_buffer(120)) >= 0)
    """,
    "other processes": """
        for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()] + [HARNESS]:
            if pid == os.getpid(): continue
            attempt(f"ptrace {pid}", lambda: libc.ptrace(16, pid, 0, 0) == 0)
            attempt(f"memory {pid}", lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR) >= 0 and pid == HARNESS)
            attempt(f"pidfd_getfd {pid}", lambda: libc.syscall(438, os.pidfd_open(pid), 1, 0) >= 0)
        attempt("the harness is killed", lambda: os.kill(HARNESS, signal.SIGKILL) is None and HARNESS != os.getpid())
        attempt("the harness is in sight", lambda: b"pytest" in open(f"/proc/{HARNESS}/cmdline", "rb").read())
        for number in range(2, 2000):  # whatever answers to these numbers must be inside
            if number not in (os.getpid(), os.getppid()):
                attempt("x", lambda: os.kill(number, 0))
        try: os.kill(-1, signal.SIGCONT)
        except ProcessLookupError: pass
    """,
    "privilege": """
        attempt("setuid", lambda: os.getuid() != 0 and os.setuid(0) is None)
        for program in ("/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd", "/usr/bin/newgrp", "/usr/bin/chsh"):
            if not os.path.exists(program) or not os.stat(program).st_mode & 0o4000: continue
            read, write = os.pipe()
            if os.fork() == 0:  # a child of a setuid program that had won would be root and not ours to look at
                os.dup2(write, 1); os.execv(program, [program, "--version"])
            os.close(write); os.wait()
        os.chmod(os.open("/tmp/own", os.O_CREAT | os.O_WRONLY), 0o6777)
        line = [line for line in open("/proc/self/status") if line.startswith("Cap")]
        attempt("capabilities", lambda: any(int(l.split()[1], 16) for l in line))
        attempt("groups", lambda: os.getuid() != 0 and 0 in os.getgroups())
    """,
    "memory that nobody counts": """
        attempt("memfd", lambda: os.memfd_create("x") >= 0)
        attempt("System V", lambda: libc.shmget(0, 1 << 30, 0o1777) >= 0)
        attempt("queues", lambda: libc.syscall(MQ_OPEN, b"x", 66, 0o600, None) >= 0)
        attempt("locked", lambda: libc.mmap is None)
    """,
    "limits are taken back": """
        import resource
        for name in ("RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CPU"):
            kind = getattr(resource, name)
            soft, hard = resource.getrlimit(kind)
            attempt(name + " is not set", lambda: hard == resource.RLIM_INFINITY)
            attempt(name, lambda: resource.setrlimit(kind, (hard + 1, hard + 1)) is None)
        attempt("priority", lambda: os.nice(-5) < 0)
        attempt("oom", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000") > 0)
    """,
}  # fmt: skip
CALLS = {"CLONE": (56, 220), "PIVOT_ROOT": (155, 41), "BPF": (321, 280), "PERF": (298, 241), "ADD_KEY": (248, 217),
         "MQ_OPEN": (240, 180)}  # fmt: skip


@pytest.mark.skipif(NUMBERS is None, reason="numbers of system calls are known for x86-64 and arm64")
@pytest.mark.parametrize("name", list(ATTEMPTS))
def test_no_way_out(run, tmp_path, name):
    (secret := tmp_path / "secret").write_text("tell-nobody")
    known = {**{call: numbers[NUMBERS] for call, numbers in CALLS.items()}, "HARNESS": os.getpid()}
    known["SECRET_FILE"] = str(secret)
    lines = [PRELUDE, *(f"{key} = {value!r}" for key, value in known.items()), textwrap.dedent(ATTEMPTS[name])]
    done = run("\n".join([*lines, "print('tried')"]))
    assert (done.stdout, done.ended) == (b"tried\n", "exit"), (done.stdout, done.stderr[-2000:])


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


def test_sleeping_for_ever_and_closing_every_output_end_at_the_clock(run):
    assert run("import time; time.sleep(1e6)", wall_s=2).ended == "wall"
    done = run("import os, time\nos.close(1); os.close(2)\ntime.sleep(30)", wall_s=4)
    assert done.wall_s < 15
    assert _nothing_runs("time.sleep.30.")


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
    assert done.stdout == b"done\n" and _nothing_runs(mark), done.stderr


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
    assert _eventually(lambda: _running(f"^{sys.executable} -c import time; time.sleep.60. {mark}"))  # inside
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    assert _eventually(lambda: _nothing_runs(f"time.sleep.60. {mark}"))


def _running(pattern):
    listed = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()
    states = {pid: subprocess.getoutput(f"ps -o stat= -p {pid}").strip() for pid in listed}
    return [pid for pid, state in states.items() if state and state[0] != "Z"]


def _nothing_runs(pattern):
    return _running(pattern) == []


def _eventually(holds):
    for _ in range(100):
        if holds():
            return True
        time.sleep(0.1)
    return False


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


def test_a_run_that_is_cancelled_is_killed(box, tmp_path):
    (tmp_path / "inside").mkdir()
    asked = iter([False] * 3)
    done = box.run(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        limits=LIMITS, work_dir=tmp_path / "inside", cancelled=lambda: next(asked, True),
    )  # fmt: skip
    assert done.ended == "cancelled"


def test_binds_are_read_only_where_tmpdir_has_a_space(box, tmp_path, monkeypatch):
    (folder := tmp_path / "a temporary folder").mkdir()
    (folder / "inside").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    done = box.run(["/bin/cat", "/proc/self/mountinfo"], limits=LIMITS, work_dir=folder / "inside")
    points = {fields[4]: fields[5] for fields in map(str.split, done.stdout.decode().splitlines())}
    assert "/usr" in points
    writable = {point for point, options in points.items() if options.startswith("rw")}
    assert {point for point in writable if not point.startswith("/dev")} <= {"/tmp", "/proc"}
