"""Programs that try to get out."""

import os
import textwrap

import pytest

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
