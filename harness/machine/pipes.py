"""The pipes of a process that was started with them."""

from typing import IO


def piped(stream: IO[bytes] | None) -> IO[bytes]:
    """Return `stdin` or `stdout` of a process that was started with subprocess.PIPE there."""
    if stream is None:
        raise ValueError("the process was started without this pipe")
    return stream
