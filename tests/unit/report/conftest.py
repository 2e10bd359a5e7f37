"""Findings that several files of these tests read; analysing takes half a second."""

import pytest

from harness.analysis.findings import Findings
from tests.unit.report.synthetic_study import synthetic_findings


@pytest.fixture(scope="session")
def findings() -> Findings:
    """The findings of the synthetic study. Tests do not change them."""
    return synthetic_findings()
