"""How many inputs a fuzz test runs: a fixed number in `make test`, as many as its budget allows in `make fuzz`."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis.errors import HypothesisException

FUZZING = "FUZZ_S" in os.environ
SECONDS = float(os.environ.get("FUZZ_S", "300"))
INPUTS = int(os.environ.get("FUZZ_EXAMPLES", "100000"))
ROUND = 1000  # inputs of one hypothesis run: it has no time limit, so a test is repeated with new seeds


def examples(count: int) -> settings:
    """Return the settings for `count` inputs, or for one round of `make fuzz`."""
    return settings(settings.get_profile("harness"), max_examples=min(ROUND, INPUTS) if FUZZING else count)


@dataclass
class Spent:
    """The inputs that a test has run and the time that it took."""

    inputs: int = 0
    seconds: float = 0.0

    @property
    def left(self) -> bool:
        return self.inputs < INPUTS and self.seconds < SECONDS


class OutOfBudget(BaseException):
    """Ends a round early. Not an Exception, which hypothesis would report as the failure of an input."""


def spend(test: Any, run_once: Callable[[], None]) -> Spent:
    """Repeat a hypothesis test until its budget of seconds or inputs is spent. A failure ends it, as usual."""
    began, spent, failed = time.monotonic(), Spent(), False
    inner = test.hypothesis.inner_test

    def counted(*args: Any, **kwargs: Any) -> None:
        nonlocal failed
        if not (spent.left or failed):  # a failure is still shrunk
            raise OutOfBudget
        try:
            inner(*args, **kwargs)
        except HypothesisException:  # an input that does not count, or hypothesis' own control flow
            raise
        except Exception:
            failed = True
            raise
        finally:
            spent.inputs += 1
            spent.seconds = time.monotonic() - began

    test.hypothesis.inner_test = counted
    try:
        with contextlib.suppress(OutOfBudget):
            while spent.left:
                run_once()
    finally:
        test.hypothesis.inner_test = inner
    return spent
