"""The sweep of two servers that run already needs their addresses and the tokenizer's model, and nothing else."""

import pytest

from harness.errors import ConfigError
from harness.sweeps.composing.compose import compose_sweep

URLS = ("engine.targets.old.base_url=http://127.0.0.1:8000", "engine.targets.new.base_url=http://127.0.0.1:8001")


def test_two_addresses_and_a_model_are_a_sweep():
    config = compose_sweep(["+sweep=servers", "model=ORG/NAME", *URLS])
    assert list(config.variants) == ["old", "new"] and config.baseline == "old"
    assert not config.suites and config.load.capacity.probes and config.engine.kind == "endpoint"


def test_an_address_that_is_not_given_is_named():
    with pytest.raises(ConfigError, match=r"engine\.targets\.new\.base_url"):
        compose_sweep(["+sweep=servers", "model=ORG/NAME", URLS[0]])
