"""Hypothesis profile of the fuzz tests, and the rounds and the table of `make fuzz`.

`make test` runs every fuzz test with a fixed seed, about 30 seconds in all. `make fuzz` runs each test with random
seeds for FUZZ_S seconds or FUZZ_EXAMPLES inputs, whichever comes first; a failure prints how to repeat it.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.budget import FUZZING, spend

settings.register_profile(
    "harness",
    deadline=None,  # a time limit per example fails under load; hangs end by pytest's own timeout
    derandomize=not FUZZING,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
settings.load_profile("harness")

SPENT = "fuzz"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not (FUZZING and hasattr(pyfuncitem.obj, "hypothesis")):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    spent = spend(pyfuncitem.obj, lambda: pyfuncitem.obj(**arguments))
    pyfuncitem.user_properties.append((SPENT, (spent.inputs, spent.seconds)))
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = terminalreporter.getreports("passed")
    found = {one.nodeid: dict(one.user_properties)[SPENT] for one in reports if SPENT in dict(one.user_properties)}
    if not found:
        return
    terminalreporter.section("fuzzed inputs")
    terminalreporter.write_line(f"{'inputs':>8} {'seconds':>8} {'inputs/s':>9}  test")
    for name, (inputs, seconds) in found.items():
        terminalreporter.write_line(f"{inputs:8} {seconds:8.1f} {inputs / seconds:9.1f}  {name.rpartition('/')[2]}")
