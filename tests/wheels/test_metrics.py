"""The metrics that the load client reads are those that the wheel exports."""

import re

import pytest

from harness.load.server_metrics import COUNTERS, GAUGES
from tests.wheels import wheels
from tests.wheels.expected import HOME

OPTIONAL = {"prefix_cache_extra"}  # llama.cpp's alone


@pytest.mark.parametrize("engine", list(HOME))
def test_every_metric_is_exported(engine, check):
    check(engine, HOME[engine], "metrics")
    package = wheels.site_packages(engine) / "vllm"
    sources = [*(package / "v1" / "metrics").rglob("*.py"), *(package / "v1" / "spec_decode").rglob("*.py")]
    exported = set(re.findall(r"[\"'](vllm:\w+)[\"']", "".join(path.read_text() for path in sources)))
    for name, theirs in {**COUNTERS, **GAUGES}.items():
        if name not in OPTIONAL:
            ours = {one for one in theirs if one.startswith("vllm:")}
            assert {one.removesuffix("_total") for one in ours} & exported or ours & exported, name
