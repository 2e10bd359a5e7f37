"""The mark of a setting without a value is OmegaConf's."""

import omegaconf

from harness.config import MISSING


def test_it_is_omegaconfs():
    assert MISSING == omegaconf.MISSING
