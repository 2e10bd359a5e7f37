"""Signals as an interactive shell gives them, which tests run side by side, and how often garbage is looked for.

Under `nohup`, or with `&` in a script, SIGHUP or SIGINT are inherited as ignored, and so they would be in every command
that a test starts and interrupts.
"""

import gc
import signal
from typing import Any

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Leave modules and collected tests out of the garbage collections, which took a tenth of the CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the files of tests/e2e to one worker of `--dist loadfile`, and those that open a browser to one.

    A real engine takes a core; the browser and most pages that it opens are the session's.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneEngineAndOneBrowser(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            if file.endswith("_in_browser.py"):
                return "browser"
            return "tests/e2e" if file.startswith("tests/e2e/") else file

    return OneEngineAndOneBrowser(config, log)
