"""python -m harness: the command `harness`."""

import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is started yet: end without a traceback of the imports below

from harness.cli import main

if __name__ == "__main__":
    sys.exit(main())
