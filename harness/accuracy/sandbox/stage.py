"""The last step before the command, inside the sandbox: no privilege, resource limits, a system call filter.

    python -I -S -c THIS_TEXT SETTINGS COMMAND...    SETTINGS: JSON, see `Sandbox._stage`

The filter closes what namespaces leave open: sockets of every family, new namespaces (a new user namespace has every
capability, so could mount a tmpfs without a limit), debugging of other processes, memory that no limit counts
(memfd, System V), the kernel's keyrings and its less hardened doors. It is there on x86-64 and arm64.
"""

import contextlib
import ctypes
import json
import os
import random
import resource
import stat
import struct
import sys

# Numbers on x86-64 and arm64: asm/unistd_64.h, asm-generic/unistd.h.
DENIED = {
    "socket": (41, 198), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438), "kcmp": (312, 272), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
}  # fmt: skip
CLONE, CLONE3 = (56, 220), (435, 435)
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH of linux/audit.h
NEW_NAMESPACES = 0x7E020080  # CLONE_NEW{USER,PID,NET,IPC,UTS,CGROUP,NS,TIME}
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of BPF; offsets are of struct seccomp_data


def main() -> None:
    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: the exec below leaves none
    if settings["isolated"] and os.getuid() == 0:
        user = random.randrange(61184, 65520)  # systemd's range for dynamic users: nobody's
        with contextlib.suppress(OSError):  # root of a user namespace that maps no other id
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
    libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL: a change of user has cleared it
    libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24))  # version 3; none effective, permitted, inheritable
    for name, value in settings["limits"].items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    refuse_calls(libc)
    try:
        os.execve(command[0], command, settings["environment"])
    except PermissionError as error:
        sys.exit(hidden(command[0]) or str(error))


def hidden(path: str) -> str | None:
    """What on the way to `path` keeps this user from it: files made by root under a umask of 077, for one."""
    for way in (os.path.abspath(path), os.path.realpath(path)):
        parts = way.split("/")
        for step in ["/".join(parts[:end]) or "/" for end in range(1, len(parts) + 1)]:
            if not os.access(step, os.X_OK):
                with contextlib.suppress(OSError):
                    mode = stat.S_IMODE(os.stat(step).st_mode)
                    return (
                        f"{step} has mode {mode:04o}, and the command runs as another user, for safety; make it "
                        f"readable: chmod -R o+rX {step}"
                    )
    return None


def refuse_calls(libc: ctypes.CDLL) -> None:
    if os.uname().machine not in MACHINES or sys.maxsize < 1 << 32:
        return
    column, audit = MACHINES[os.uname().machine]
    lines = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, audit), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    if column == 0:
        lines += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, KILL)]  # the x32 numbers
    for numbers in DENIED.values():
        lines += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, ERRNO | EPERM)]
    lines += [(EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, ERRNO | ENOSYS)]  # its flags are out of reach: use clone
    lines += [(EQUAL, 0, 3, CLONE[column]), (LOAD, 0, 0, 16), (ANY_BIT, 0, 1, NEW_NAMESPACES)]
    lines += [(RETURN, 0, 0, ERRNO | EPERM), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    program = Program(len(lines), ctypes.addressof(code))
    if libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        sys.exit(f"the system call filter was refused: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
