"""Deployments in the report: whose accuracy they have, what is compared, which is the best at each rate."""

import json

import pytest

from harness.analysis import analyse
from harness.report import write_report
from harness.report.tables.accuracy import recovery_table
from harness.report.tables.overview import variants_table
from harness.report.tables.readings import fastest_table
from tests.unit.report.synthetic_records import DEPLOYMENTS
from tests.unit.report.synthetic_study import (
    build,
    parts,
    rich_parts,
    synthetic_study,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployments():
    """As a sweep with axes makes it: the deployments measure no suite, their heads' scores stand for them."""
    manifest, records, rows = rich_parts()
    for name in DEPLOYMENTS:
        axes = {"deployment": {"tensor_parallel": 2}, "accuracy_of": name.removesuffix("_tp2")}
        manifest["variants"][name] |= axes
        records = [r for r in records if r["cell"]["variant"] != name or r["cell"]["kind"] == "load"]
    manifest["cells"] = [c for c in manifest["cells"] if c["kind"] == "load" or c["variant"] not in DEPLOYMENTS]
    return analyse(build(manifest, records, rows))


def test_a_deployments_accuracy_is_its_heads_and_nothing_of_it_is_missing(deployments, tmp_path):
    study, averages = deployments.study, deployments.averages
    assert study.forms == ("fp8", "sparse_fp8", "int4") and study.missing == ()
    assert averages["sparse_fp8_tp2"] == averages["sparse_fp8"] and averages["bf16_tp2"].recovery.value == 1.0
    cells = {row[0].text: row for row in variants_table(deployments).rows}
    recovery = [column.lstrip(">") for column in variants_table(deployments).columns].index("Average recovery")
    own, head = (cells[label][recovery] for label in ("2:4 sparse FP8, TP 2", "2:4 sparse FP8"))
    assert own.text == head.text and own.note == "as 2:4 sparse FP8"
    assert "Dense BF16, TP 2" not in {row[1].text for row in recovery_table(deployments).rows}
    report = write_report(study, tmp_path, deployments).parent
    summary = json.loads((report / "summary.json").read_text())
    variant = summary["variants"]["sparse_fp8_tp2"]
    assert (variant["accuracy_of"], variant["average_recovery"], variant["verdict"]) == ("sparse_fp8", None, None)
    assert not any(name.startswith(("accuracy/", "recovery/")) for name in variant["metrics"])
    assert variant["deployment"] == {"tensor_parallel": 2}
    assert "## Not measured" not in (report / "release_notes.md").read_text()
    assert not (report / "model_cards" / "sparse_fp8_tp2.md").exists()
    assert deployments.fronts[0].points["sparse_fp8_tp2"][1] == averages["sparse_fp8"].recovery


def test_deployments_of_the_baseline_alone_have_verdicts_of_speed_and_what_was_speculated(tmp_path):
    manifest, records, rows = parts()
    manifest["variants"] = {name: manifest["variants"][name] for name in ("bf16", "fp8")}
    manifest["variants"]["fp8"] |= {"label": "BF16, ngram x4", "deployment_of": "bf16", "accuracy_of": "bf16"}
    manifest |= {"suites": [], "published": []}
    kept = [r for r in records if r["cell"]["variant"] in manifest["variants"] and r["cell"]["kind"] == "load"]
    manifest["cells"] = [record["cell"] for record in kept]
    for record in kept:
        if record["cell"]["variant"] == "fp8":
            record["result"] |= {"draft_acceptance_rate": 0.4375, "tokens_per_draft": 2.75, "drafted_share": 0.1}
    page = write_report(build(manifest, kept, rows), tmp_path).read_text()
    notes = (tmp_path / "release_notes.md").read_text()
    assert "- BF16, ngram x4 is Dense BF16, served in another way, and " in notes and "No recommendation" not in notes
    assert "## Speculative decoding" in notes
    assert "| 43.8 % | 2.75 | 10.0 % |" in notes and "43.8\u00a0%" in page


def test_the_best_at_each_rate_is_named_and_only_with_deployments(deployments, tmp_path):
    table = fastest_table(deployments, "itl_ms_p99")
    notes = {cell.note for row in table.rows for cell in row[2:]}
    assert "2 × Dense BF16" in notes and "2:4 sparse FP8, TP 2" in notes
    assert table.rows[0][0].note == "on 2 GPUs" and table.rows[0][1].note == "0.500 a GPU"
    report = write_report(deployments.study, tmp_path / "with", deployments).parent
    assert "## Deployments" in (report / "release_notes.md").read_text()
    assert "served rate per GPU" in (report / "index.html").read_text()
    envelopes = json.loads((report / "summary.json").read_text())["envelopes"]
    assert {entry["rate_rps"] / entry["rate_rps_per_gpu"] for entry in envelopes} == {2.0}
    alone = write_report(synthetic_study(), tmp_path / "without").parent
    assert "## Deployments" not in (alone / "release_notes.md").read_text()
    assert "per GPU, requests" not in (alone / "index.html").read_text()
    assert json.loads((alone / "summary.json").read_text())["envelopes"] == []
