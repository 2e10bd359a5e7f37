"""Receive times from the kernel: a socket whose recv() is recvmsg() with SO_TIMESTAMPNS.

The kernel stamps a packet when it arrives, however late this process reads it: with 512 streams the error is tens
of microseconds, where a user-space clock is milliseconds off (FACTS: measured against five other clients). TCP
reports the stamp of the last packet in a read, so a read that merges two tokens has one time; sse.py counts those.
"""

import resource
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# The socket module has no name for it. 35 is SO_TIMESTAMPNS_OLD on every Linux but sparc and parisc, with a struct
# timespec of two native longs.
SO_TIMESTAMPNS = 35 if sys.platform == "linux" else None
TIMESPEC = struct.Struct("@ll")
ANCILLARY_BYTES = socket.CMSG_SPACE(TIMESPEC.size)
MAX_AGE_NS = 60 * 10**9  # an older stamp, or one in the future, means that the clock was set


class StampedSocket(socket.socket):
    """`received_s` is the kernel's receive time of the last recv() on time.monotonic()'s clock, or None."""

    received_s: float | None = None

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        data, ancillary, _, _ = self.recvmsg(bufsize, ANCILLARY_BYTES, flags)
        self.received_s = None  # a read without a stamp must not keep the last one's
        for level, kind, payload in ancillary:
            if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET:
                seconds, nanoseconds = TIMESPEC.unpack(payload[: TIMESPEC.size])
                # Stamps are CLOCK_REALTIME. The offset to the monotonic clock is taken at every read (0.1 us), so
                # that NTP slewing through a long cell cannot bend the time line.
                age_ns = time.time_ns() - (seconds * 10**9 + nanoseconds)
                if 0 <= age_ns < MAX_AGE_NS:
                    self.received_s = (time.monotonic_ns() - age_ns) / 1e9
        return data


@contextmanager
def stamping() -> Iterator[None]:
    """Keeps the kernel's stamping on. It starts with a delay, in a work queue, when the first socket asks for it, and
    stops with the last one: without this the first tokens after a pause would come unstamped."""
    with stamped_socket((socket.AF_INET, socket.SOCK_DGRAM, 0)):
        yield


def stamped_socket(address: tuple) -> socket.socket:
    """A `socket_factory` for aiohttp. asyncio reads TLS through recv_into(): there `received_s` stays None."""
    family, kind, proto, *_ = address
    sock = StampedSocket(family, kind, proto)
    if SO_TIMESTAMPNS is not None:
        with suppress(OSError):  # a kernel without it gives no stamps, and the record says timestamps: user
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


def allow_open_files(needed: int) -> None:
    """Raise the soft limit on open files: every request in flight is a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + 512 if hard == resource.RLIM_INFINITY else min(needed + 512, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
