"""A hub's Retry-After and RateLimit headers are waited for at most a minute."""

import pytest

from harness.hub.waiting import bounded


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("5", "5"),
        (" 5 ", "5"),
        ("86400", "60"),
        ("9" * 5000, "60"),
        ('"api";r=0;t=3600', '"api";r=0;t=60'),
        ('"api"; r=0; t = 12', '"api"; r=0; t = 12'),
        ("²", "²"),
        ("0\x1f", "0"),
        ("soon", "soon"),
    ],
)
def test_a_hub_is_waited_for_at_most_a_minute(asked, waited):
    assert bounded(asked) == waited
