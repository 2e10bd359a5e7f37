"""python -m harness.compare of two GEMM studies."""

from dataclasses import replace

import pytest

from harness.analysis import build_study
from harness.analysis.comparison import Side, compare_sides
from harness.compare.data import comparison_json
from harness.compare.outcome import Outcome, Pair
from harness.compare.text import comparison_text
from harness.records.manifest import Manifest
from harness.records.record import Record
from harness.report.pages.comparison import render_comparison
from harness.report.tables.gates import gates_table
from tests.unit.gemm.samples import BATCHES, gemm_parts


def study(slower=1.0, version="0.18.1", **options):
    manifest, records, rows = gemm_parts(**options)
    for record in records:
        record["engine"] |= {"version": version}
        record["started_at"] = f"2026-11-20 by {version}"
        for row in rows[record["cell"]["key"]]:
            if record["cell"]["variant"] == "fp8":
                row["times_s"] = [slower * seconds for seconds in row["times_s"]]
    return build_study(
        Manifest.from_json(manifest), list(map(Record.from_json, records)), lambda record: rows[record.cell.key], []
    )


def compared(a, b, variant="fp8"):
    return compare_sides(Side(a, variant, f"a:{variant}"), Side(b, variant, f"b:{variant}"))


def test_a_slower_kernel_is_seen_at_every_batch_size():
    found = compared(study(), study(slower=1.5, version="0.18.2"))
    assert [change.batch for change in found.products] == list(BATCHES)
    for change in found.products:
        assert change.b / change.a == pytest.approx(1.5) == change.ratio.value
        assert 1.3 < change.ratio.low < 1.5 < change.ratio.high < 1.7
    pair = Pair(found, [], ("a",), ("b",))
    outcome = Outcome((pair,), False, 0.08, "")
    text = comparison_text(pair, outcome, colour=False)
    assert "GEMM of the linear layers" in text and "+50.0 % [" in text
    assert "vllm 0.18.1  vllm 0.18.2" in text and "was not evaluated for accuracy" not in text
    assert '"batch": 1024' in comparison_json(outcome)
    assert "GEMM of the linear layers" in render_comparison([(found, [])], [gates_table([])], "", False, "", "0")


def test_two_variants_of_one_study():
    one = study()
    found = compare_sides(Side(one, "bf16", "a:bf16"), Side(one, "fp8", "a:fp8"))
    for change in found.products:
        assert change.paired and (change.ratio.low, change.ratio.high) == pytest.approx((0.5, 0.5)), "round by round"
    later = [replace(m, started_at="2026-11-21") if m.cell.variant == "fp8" else m for m in one.measured]
    added = replace(one, measured=tuple(later))
    found = compare_sides(Side(added, "bf16", "a:bf16"), Side(added, "fp8", "a:fp8"))
    assert not any(change.paired for change in found.products), "timed in another run"
    assert any("compared with itself" in note for note in compared(one, one).not_compared)


def test_a_wrong_answer_and_other_shapes_are_not_compared():
    wrong = compared(study(wrong="fp8"), study())
    assert [change.reason for change in wrong.products] == [None, "the answer is wrong in A", None]
    other = study()
    shorter = tuple(m for m in other.measured if m.cell.layer != "down_proj")
    found = compared(study(), replace(other, measured=shorter))
    assert not found.products
    assert "products: other layers or other shapes in A and B (down_proj)" in found.not_compared


def test_a_study_on_one_side_only_is_said():
    other = study()
    found = compared(study(), replace(other, measured=()))
    assert "products: only in A" in found.not_compared
