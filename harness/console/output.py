"""Standard output, standard error, logs and the process list of a command: no secrets, and no noise on `| head`."""

import ctypes
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.errors import DiskFull
from harness.machine import disk, interrupts, scratch
from harness.records import Damage
from harness.redaction.known_secrets import learn_command_line, learn_environment
from harness.redaction.masking import mask
from harness.untrusted.visible import one_entry, visible

PIPE_CLOSED = 128 + signal.SIGPIPE


class MaskedStream:
    """A text stream that masks whole lines and makes control characters visible.

    What has no line end yet waits for it, or for flush(). Thread-safe.

    When its reader has gone, as `| head` does, the command ends without a word and with the status that SIGPIPE gives.
    SystemExit passes the handlers of OSError on its way; broken pipes of sockets and children are not touched.
    """

    def __init__(self, stream: Any, show: Callable[[str], str] = visible):
        self._stream, self._line, self._show = stream, "", show
        self._fresh = True  # the line has nothing, or a progress bar that the next carriage return draws again
        self._lock = threading.RLock()  # a signal handler may write while its own thread does

    def write(self, text: str) -> int:
        with self._lock:
            whole, end, self._line = (self._line + self._shown(text)).rpartition("\n")
            if end:
                self._pass(mask(whole) + end)
        return len(text)

    @property
    def styled(self) -> "MaskedStream":
        """The same stream for colours and cursor movements of this program's own: secrets are masked, and no more."""
        return MaskedStream(self._stream, str)

    def _shown(self, text: str) -> str:
        """A carriage return at the start of a line is a progress bar's; any other would overwrite what was said."""
        bar = "\r" if self._fresh and text.startswith("\r") else ""
        if text and not bar:
            self._fresh = text.endswith("\n")
        return bar + self._show(text[len(bar) :])

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._lock:
            line, self._line = self._line, ""
            if line:
                self._pass(mask(line))
            self._pass("")

    def _pass(self, text: str) -> None:
        """Write, or flush for no text."""
        try:
            if text:
                self._stream.write(text)
            else:
                self._stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())  # for what is left in its buffer
            if self._stream is not sys.__stderr__:  # without its log a command goes on
                raise SystemExit(PIPE_CLOSED) from None
        except OSError as error:
            if error.errno == errno.EIO:  # the terminal was closed; SIGHUP says whether the command ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            elif self._stream is not sys.__stderr__ or error.errno not in disk.CODES:  # `2> FILE` on a full disk
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class MaskedFormatter(logging.Formatter):
    """Masks the whole entry, with its traceback, and indents all lines but its first."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(one_entry(super().format(record)))


def masked_main(main: Callable[[], int]) -> int:
    """Run a command whose output, tracebacks included, and whose line in the process list show no secret."""
    learn_environment()
    learn_command_line(sys.argv[1:])
    hide_arguments()
    sys.stdout, sys.stderr = MaskedStream(sys.stdout), MaskedStream(sys.stderr)
    scratch.use_everywhere()
    interrupts.install()
    try:
        return _ended(main)
    finally:
        interrupts.finish()
        sys.stdout.flush()  # here and not at the interpreter's end, which would complain of a closed pipe


def _ended(main: Callable[[], int]) -> int:
    """The exit code of `main`, and one line in place of the traceback of an interrupt or a full disk."""
    try:
        return main()
    except KeyboardInterrupt as error:
        interrupts.finish()
        print("\ninterrupted", file=sys.stderr)
        return interrupts.exit_code(error)
    except DiskFull as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if (full := disk.explain(error, Path.cwd(), scratch.root())) is None:
            raise
        print(f"error: {full}", file=sys.stderr)
        return 1


def warn_of_damage(results: Path, damages: Iterable[Damage], then: str) -> None:
    """Print a warning for each damage on standard error. `then`: what follows for a cell or failure left out."""
    for damage in damages:
        what = then if damage.left_out else "what can be read of it is used; the sweep's command writes it anew"
        print(f"warning: {results}/{damage}; {what}", file=sys.stderr)


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
    """Return a word masked, in the same length: the kernel knows where the arguments end."""
    text = word.decode("utf-8", "surrogateescape")
    shown = mask(text).encode("utf-8", "surrogateescape")
    return word if shown == word else shown[: len(word)].ljust(len(word), b"*")
