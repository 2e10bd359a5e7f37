"""Every test runs in every sandbox that works here."""

import sys

import pytest

from harness.accuracy import sandbox
from harness.accuracy.sandbox import Limits
from tests.integration.accuracy.sandbox.limits import LIMITS


@pytest.fixture(scope="module", params=list(sandbox.KINDS))
def box(request):
    reasons = []
    for found in sandbox.candidates():
        if found.kind == request.param:
            if (reason := sandbox.trial(found)) is None:
                return found
            reasons.append(reason)
    pytest.skip(f"{request.param} does not work here: {'; '.join(reasons) or 'not installed'}")


@pytest.fixture
def run(box, tmp_path):
    def run(code, **limits):
        bounds = Limits(**{**LIMITS.__dict__, **limits})
        folder = tmp_path / "inside"
        folder.mkdir(exist_ok=True)
        return box.run([sys.executable, "-c", code], limits=bounds, work_dir=folder)

    return run
