"""The frames of a stored sweep, against its records and against pandas' reading of cells.csv."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest

import harness
from harness.errors import ConfigError
from harness.report.files.cells import cells_csv

STORES = Path(__file__).parents[2] / "fixtures" / "stores"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    with tarfile.open(STORES / "schema_2.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return next(path.parent for path in folder.rglob("sweep.json"))


@pytest.fixture(scope="module")
def study(results: Path) -> "harness.frames.Frames":
    return harness.load(results)


def records(results: Path, kind: str) -> list[dict]:
    found = [json.loads(path.read_text()) for path in results.glob("cells/*/record.json")]
    return [record for record in found if record["cell"]["kind"] == kind]


def test_cells_are_those_of_cells_csv(study) -> None:
    written = pd.read_csv(io.StringIO(cells_csv(study.findings)))
    assert list(study.cells["key"]) == list(written["key"])
    pd.testing.assert_series_equal(study.cells["itl_ms_p99"].astype(float), written["itl_ms_p99"].astype(float))


def test_points_have_the_metrics_of_the_records(study, results: Path) -> None:
    stored = sorted(
        record["result"]["itl_ms_p50"] for record in records(results, "load") if "itl_ms_p50" in record["result"]
    )
    assert sorted(study.points["itl_ms_p50"].dropna()) == pytest.approx(stored)


def test_the_mean_score_of_the_items_is_the_score_of_the_suite(study) -> None:
    means = study.items[study.items["repeat"] == 0].groupby(["variant", "suite"])["score"].mean()
    for row in study.recovery.itertuples():
        assert means[row.variant, row.suite] == pytest.approx(row.score)


def test_requests_give_the_metrics_of_their_points(study) -> None:
    """pandas' median of the requests' TTFT is the record's; rows are stored in microseconds."""
    answered = study.requests.dropna(subset=["ttft_s"])
    by_point = answered.groupby(["variant", "scenario", "point", "repeat"])["ttft_s"].median() * 1e3
    points = study.points[study.points["profile"] != "capacity"]
    assert len(points)
    for row in points.itertuples():
        assert by_point[row.variant, row.scenario, row.point, row.repeat] == pytest.approx(row.ttft_ms_p50, abs=0.002)


def test_a_report_is_written(study, tmp_path: Path) -> None:
    assert study.report(tmp_path / "report").read_text().startswith("<!doctype html>")


def test_a_folder_that_is_no_sweep_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)):
        harness.load(tmp_path)


def test_importing_harness_imports_no_pandas() -> None:
    said = "import sys, harness; print(sorted({'pandas', 'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True).stdout == "[]\n"
