"""Standard output, standard error, logs and the process list of a command, without secrets."""

import ctypes
import logging
import sys
from collections.abc import Callable
from typing import Any

from harness.known_secrets import learn_command_line, learn_environment
from harness.masking import mask


class MaskedStream:
    """A text stream that masks whole lines; what has no line end yet waits for it, or for flush()."""

    def __init__(self, stream: Any):
        self._stream, self._line = stream, ""

    def write(self, text: str) -> int:
        whole, end, self._line = (self._line + text).rpartition("\n")
        if end:
            self._stream.write(mask(whole) + end)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        line, self._line = self._line, ""
        if line:
            self._stream.write(mask(line))
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class MaskedFormatter(logging.Formatter):
    """Masks the whole entry, with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def masked_main(main: Callable[[], int]) -> int:
    """Run a command whose output, tracebacks included, and whose line in the process list show no secret."""
    learn_environment()
    learn_command_line(sys.argv[1:])
    hide_arguments()
    sys.stdout, sys.stderr = MaskedStream(sys.stdout), MaskedStream(sys.stderr)
    return main()


def hide_arguments() -> None:
    """Overwrite the secrets in this process's arguments, as the clients of MySQL do; what cannot be, stays (no Linux).

    `sys.argv` keeps them.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open("/proc/self/cmdline", "rb") as file:
            given = file.read()
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5)
    except (OSError, ValueError, IndexError):
        return
    shown = b"\0".join(_masked_argument(word) for word in given.split(b"\0"))
    if shown != given and start and end - start == len(given) == len(shown):
        ctypes.memmove(start, shown, len(shown))


def _masked_argument(word: bytes) -> bytes:
    """Of the same length: the kernel knows where the arguments end."""
    text = word.decode("utf-8", "surrogateescape")
    shown = mask(text).encode("utf-8", "surrogateescape")
    return word if shown == word else shown[: len(word)].ljust(len(word), b"*")
