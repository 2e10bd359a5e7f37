"""Signals as an interactive shell gives them, however the tests were started.

Under `nohup`, or with `&` in a script, SIGHUP or SIGINT are inherited as ignored, and so they would be in every command
that a test starts and interrupts.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
