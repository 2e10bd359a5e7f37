"""The report of a made-up study."""

import os

import pytest

from harness.report import write_report
from tests.unit.report.synthetic_study import synthetic_study

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="module")
def report_dir(tmp_path_factory):
    return write_report(synthetic_study(), tmp_path_factory.mktemp("report")).parent
