"""Receive times from the kernel: recvmsg() with SO_TIMESTAMPNS.

The kernel stamps a packet when it arrives, however late this process reads it: with 512 streams the error is tens
of microseconds, where a user-space clock is milliseconds off (tests/benchmarks/loadgen.py). TCP reports the stamp of
the last packet in a read, so a read that merges two tokens has one time; sse.py counts those.
"""

import os
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# The socket module has no name for it. 35 is SO_TIMESTAMPNS_OLD on every Linux but sparc and parisc, with a struct
# timespec of two native longs.
SO_TIMESTAMPNS = 35 if sys.platform == "linux" else None
TIMESPEC = struct.Struct("@ll")
ANCILLARY_BYTES = socket.CMSG_SPACE(TIMESPEC.size)


def connecting_socket(address: tuple) -> socket.socket:
    """A non-blocking, stamping TCP socket on its way to `address` (an entry of getaddrinfo). Raises OSError."""
    family, kind, proto, _, where = address
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask_for_stamps(sock)
        with suppress(BlockingIOError):
            sock.connect(where)
    except OSError:
        sock.close()
        raise
    return sock


def ask_for_stamps(sock: socket.socket) -> None:
    if SO_TIMESTAMPNS is not None:
        with suppress(OSError):  # a kernel without it gives no stamps, and the record says timestamps: user
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


@contextmanager
def stamping() -> Iterator[None]:
    """Keeps the kernel's stamping on. It starts with a delay, in a work queue, when the first socket asks for it, and
    stops with the last one: without this the first tokens after a pause would come unstamped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ask_for_stamps(sock)
        yield


def allow_open_files(needed: int) -> None:
    """Raise the soft limit on open files: every request in flight is a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + 512 if hard == resource.RLIM_INFINITY else min(needed + 512, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def error_message(error: OSError) -> str:
    name = type(error).__name__
    return f"{name}: {os.strerror(error.errno)}" if error.errno and not error.strerror else f"{name}: {error}"
