"""No secret is known when a test begins."""

import pytest

from harness.redaction import masking


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(masking, "_known", masking._Known())
