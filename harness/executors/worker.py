"""The process of one session on this machine: reads what to measure from standard input, writes events to its output.

The input stays open as long as the parent lives. When it closes, because the parent is done or because it was killed,
this process is interrupted as by Ctrl-C and stops what it has started. Run by harness/executors/local.py.
"""

import contextlib
import os
import signal
import sys
import threading
from typing import Any

from harness.console.output import masked_main
from harness.executors import call, frames
from harness.machine.interrupts import held


def main() -> int:
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed goes to the session's log
    entry, description, place = frames.read(sys.stdin.buffer)
    threading.Thread(target=_follow_parent, daemon=True).start()
    lock = threading.Lock()

    def emit(event: Any) -> None:
        with held(), lock, contextlib.suppress(BrokenPipeError):  # an interrupt must not cut a frame in two
            frames.write(events, event)

    call(entry, description, place, emit)
    return 0


def _follow_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(masked_main(main))
