"""The metrics that the load client reads are those that the wheel exports."""

import re

import pytest

from harness.engines import metric_names
from tests.wheels import wheels
from tests.wheels.expected import HOME


@pytest.mark.parametrize("engine", list(HOME))
def test_every_metric_is_exported(engine, check):
    check(engine, HOME[engine], "metrics")
    package = wheels.site_packages(engine) / "vllm"
    sources = [*(package / "v1" / "metrics").rglob("*.py"), *(package / "v1" / "spec_decode").rglob("*.py")]
    exported = set(re.findall(r"[\"'](vllm:\w+)[\"']", "".join(path.read_text() for path in sources)))
    for name in set(metric_names.VLLM.values()):
        ours = {theirs for theirs, quantity in metric_names.VLLM.items() if quantity == name}
        assert {one.removesuffix("_total") for one in ours} & exported or ours & exported, name
