"""Findings that several files of these tests read; analysing takes half a second."""

import pytest

from harness.analysis import analyse
from harness.analysis.findings import Findings
from tests.unit.report.synthetic_study import synthetic_study


@pytest.fixture(scope="session")
def findings() -> Findings:
    """The findings of the synthetic study. Tests do not change them."""
    return analyse(synthetic_study())
