"""The pipes of a process that was started with them."""

import contextlib
from typing import IO


def piped(stream: IO[bytes] | None) -> IO[bytes]:
    """Return `stdin` or `stdout` of a process that was started with subprocess.PIPE there."""
    if stream is None:
        raise ValueError("the process was started without this pipe")
    return stream


def close(stream: IO[bytes] | None) -> None:
    """Close a pipe, if there is one, whose other end may be dead: closing writes what was not written yet."""
    if stream and not stream.closed:
        with contextlib.suppress(BrokenPipeError):
            stream.close()
