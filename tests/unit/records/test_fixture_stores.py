"""Stores that earlier versions wrote: they load, pass the check, and their report gives the numbers it always gave."""

import json
import shutil
from pathlib import Path

import pytest

from harness.analysis.load_study import load_study
from harness.analysis.study import Study
from harness.check import check
from harness.records.store import Store
from harness.report import write_report

pytestmark = pytest.mark.slow

CELLS = {"tiny": 51, "gemm": 6}
FAILED = "HTTP 500, the engine died"  # in failures/


@pytest.fixture(scope="module", params=[f"schema_{schema}/{name}" for schema in (1, 2) for name in CELLS])
def results(request: pytest.FixtureRequest, stores: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a store; its folder's parent names the schema."""
    folder = tmp_path_factory.mktemp("stores") / request.param
    shutil.copytree(stores / request.param, folder)
    return folder


@pytest.fixture(scope="module")
def study(results: Path) -> Study:
    return load_study(results)


def test_every_cell_is_read_and_nothing_is_damaged(results: Path, study: Study) -> None:
    manifest = json.loads((results / "sweep.json").read_text())
    wanted = [cell["fingerprint"] for cell in manifest["cells"]]
    records = Store(results).records(wanted)
    assert len(records) == CELLS[results.name]
    assert {record.schema for record in records} == {int(results.parent.name[-1])}
    assert all(Store(results).rows(record.fingerprint) for record in records)
    assert study.damaged == ()
    assert len(wanted) - len(records) == len(study.failures) == (results.name == "tiny")


def test_the_check_finds_no_problem(results: Path, capsys: pytest.CaptureFixture) -> None:
    assert check(results, repair=False) == 0
    assert f"{CELLS[results.name]} cells, 0 problems" in capsys.readouterr().out


def test_the_report_gives_the_same_numbers_as_ever(results: Path, study: Study, stores: Path, tmp_path: Path) -> None:
    page = write_report(study, tmp_path / "report")
    expected = results.parent.name + "/" + results.name + ".cells.csv"
    assert (page.parent / "cells.csv").read_bytes() == (stores / expected).read_bytes()
    if results.name == "tiny":
        assert all(FAILED in file.read_text() for file in (page, page.parent / "release_notes.md"))
