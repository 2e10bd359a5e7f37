"""What the report says of products, and that it says nothing where there are none."""

import json

import pytest

from harness.analysis import build_study
from harness.records.manifest import Manifest
from harness.records.record import Record
from harness.report import write_report
from tests.unit.gemm.samples import gemm_parts
from tests.unit.report.summary_schema import violations

pytestmark = pytest.mark.slow


def report(tmp_path, **options):
    manifest, records, rows = gemm_parts(**options)
    study = build_study(
        Manifest.from_json(manifest), list(map(Record.from_json, records)), lambda record: rows[record.cell.key], []
    )
    return write_report(study, tmp_path).parent


def test_speedups_figures_and_nothing_of_serving(tmp_path):
    folder = report(tmp_path)
    page = (folder / "index.html").read_text()
    assert 'id="gemm"' in page and 'data-figure="gemm-speedup"' in page and 'data-figure="gemm-roofline"' in page
    assert 'id="recovery"' not in page and 'id="load"' not in page, "nothing was served"
    notes = (folder / "release_notes.md").read_text()
    assert "2:4 sparse FP8 was not evaluated for accuracy and multiplies a layer 2.50× [2.50, 2.50] as fast" in notes
    assert "No recommendation" not in notes, "products alone recommend nothing"
    assert "(charts/gemm_speedup.svg)" in notes and "ImportError: no such kernel" in notes
    assert {path.name for path in (folder / "charts").iterdir()} == {"gemm_speedup.svg", "gemm_roofline.svg"}
    assert "90.0 %" in notes, "of the vendor's library"
    assert not list(folder.glob("model_card*.md"))


def test_the_summary_has_every_point(tmp_path):
    summary = json.loads((report(tmp_path) / "summary.json").read_text())
    assert violations(summary) == []
    found = {(e["variant"], e["batch_size"]): e for e in summary["gemm"]}
    assert len(found) == 9 and found["fp8", 1024]["speedup"]["value"] == pytest.approx(2.0)
    assert summary["variants"]["fp8"]["metrics"]["speedup/gemm_highest"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("gpu", "said"), [("NVIDIA H100 80GB HBM3", "+5.3 %"), ("NVIDIA L4", "not such a GPU"), (None, "not such a GPU")]
)
def test_published_figures_of_hopper_are_compared_on_hopper_only(tmp_path, gpu, said):
    assert said in (report(tmp_path, gpu=gpu) / "release_notes.md").read_text()


def test_a_wrong_product_is_drawn_and_told_as_such(tmp_path):
    folder = report(tmp_path, wrong="fp8")
    page = (folder / "index.html").read_text()
    assert "x-thin" in page and "wrong product" in page
    assert "Its GEMM kernel returned incorrect results on this machine" in (folder / "release_notes.md").read_text()


def test_the_same_study_gives_the_same_bytes(tmp_path):
    first, again = report(tmp_path / "a"), report(tmp_path / "b")
    assert (first / "index.html").read_bytes() == (again / "index.html").read_bytes()
