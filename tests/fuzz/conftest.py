"""Hypothesis profiles of the fuzz tests.

`make test` runs every fuzz test with a fixed seed, about 60 seconds in all. `make fuzz FUZZ_S=600` runs ten times as
many examples from a random seed, which a failure prints together with the example.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "harness",
    max_examples=100,
    deadline=None,  # a time limit per example fails under load; hangs end by pytest's own timeout
    derandomize="FUZZ_S" not in os.environ,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
settings.load_profile("harness")
