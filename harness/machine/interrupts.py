"""Signals that end a run: SIGINT (Ctrl-C), SIGTERM, and SIGHUP, which a terminal sends when it closes.

The first one raises `Interrupted` in the main thread. While that passes through the code that cleans up, further ones
are answered with a line and change nothing: whatever was started is stopped, and no temporary file stays. Code that
starts or removes something wraps it in `held()`, so that a signal comes before or after it.

A signal that was ignored when the process started stays ignored, as for every program under `nohup` or started with
`&` in a script; SIGTERM is always obeyed.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = b"\ninterrupted already; stopping what was started (an engine has engine.stop_grace_s to end)\n"


class Interrupted(KeyboardInterrupt):
    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class _State:
    held = 0  # depth of held() in the main thread
    pending: int | None = None  # the signal that came meanwhile


def exit_code(error: KeyboardInterrupt) -> int:
    """129 for SIGHUP, 130 for the others."""
    return 129 if isinstance(error, Interrupted) and error.number == signal.SIGHUP else 130


def install() -> None:
    for number in SIGNALS:
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _arrived)


def finish() -> None:
    """Ignore SIGNALS from here on: the work is done, and the interpreter's own end is short."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Delay a signal until the end of the context. For what takes a bounded time; does nothing in other threads."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.held += 1
    try:
        yield
    finally:
        _State.held -= 1
        if not _State.held and (number := _State.pending) is not None:
            _State.pending = None
            raise Interrupted(number)


def _arrived(number: int, _frame: FrameType | None) -> None:
    if not _State.held and not _cleaning_up():
        raise Interrupted(number)
    if _State.pending is not None or _cleaning_up():
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, AGAIN)
    else:
        _State.pending = number


def _cleaning_up() -> bool:
    """Whether an interrupt is on its way through the frames below: a handler runs on top of them."""
    error = sys.exception()
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    return error is not None
