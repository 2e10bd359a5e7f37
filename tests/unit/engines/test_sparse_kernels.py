"""Which engines have 2:4 kernels."""

from types import SimpleNamespace

import pytest

from harness.engines.kernels import wants_sparsity_config


def engine(version="0.18.1", device="cuda", kind="vllm"):
    return {"kind": kind, "version": version, "device": device}


@pytest.mark.parametrize(("configured", "wants"), [
    (engine(), True), (engine("0.19.0"), False), (engine("0.32.0"), False), (engine(device="cpu"), False),
    (engine(""), False), (engine(kind="simulated"), False),
])  # fmt: skip
def test_the_block_is_written_for_the_engines_that_look_for_it(configured, wants):
    assert wants_sparsity_config(SimpleNamespace(**configured)) is wants


def test_an_engine_without_a_version_does_not_want_it():
    assert wants_sparsity_config(SimpleNamespace(kind="endpoint")) is False
