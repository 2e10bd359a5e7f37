"""The files beside the page: SVG charts, model cards, the form of summary.json, settings of the report."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from harness.analysis import analyse
from harness.report import write_report
from harness.report.files.charts import charts
from harness.report.files.model_card import model_card, model_cards
from harness.report.files.summary import summary_json
from harness.report.sections import drawings, fill
from harness.report.tables.gains import attribution_table, cost_table
from harness.report.tables.overview import variants_table
from harness.report.tables.readings import cutoffs_table, fixed_latency_table
from harness.untrusted.names import file_name
from tests.unit.report.summary_schema import violations
from tests.unit.report.synthetic_records import DEPLOYMENTS, VARIANTS
from tests.unit.report.synthetic_study import (
    REPORT,
    SCENARIOS,
    build,
    parts,
    rich_findings,
    rich_parts,
    synthetic_findings,
    watched_parts,
)
from tests.unit.report.test_hostile import hostile_parts

pytestmark = pytest.mark.slow

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "style", "rect", "text", "path", "g"}


def few():
    """The parts of a study of three variants and one scenario, for cards that do not depend on the others."""
    return parts(
        {name: VARIANTS[name] for name in ("bf16", "fp8", "sparse_fp8")}, scenarios={"chat_512_256": (512, 256)}
    )


@pytest.fixture(scope="module")
def rich():
    return rich_findings()


@pytest.fixture(scope="module")
def report(rich, tmp_path_factory):
    return write_report(rich.study, tmp_path_factory.mktemp("rich"), rich).parent


@pytest.mark.parametrize("which", ["rich", "plain", "bare", "hostile", "watched"])
def test_the_summary_has_the_form_of_its_schema(which, rich):
    bare = {"name": "bare", "baseline": "a", "variants": {"a": {}}, "suites": [], "scenarios": {}, "cells": []}
    findings = {
        "rich": lambda: rich,
        "plain": synthetic_findings,
        "bare": lambda: analyse(build(bare, [], {})),
        "hostile": lambda: analyse(build(*hostile_parts())),
        "watched": lambda: analyse(build(*watched_parts())),
    }[which]()
    assert violations(json.loads(summary_json(findings))) == []


def test_a_departure_from_the_schema_is_found(report):
    summary = json.loads((report / "summary.json").read_text())
    assert violations(summary | {"schema": 1}) and violations(summary | {"unknown": 1})
    assert violations(summary | {"study": summary["study"] | {"name": 7}})


def test_every_chart_is_well_formed_small_and_needs_nothing(report):
    paths = sorted((report / "charts").iterdir())
    assert len(paths) == 4 + 2 * len(SCENARIOS) + 1
    for path in paths:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg",
            "title",
            "style",
            "rect",
            "text",
            "path",
            "g",
        }
        assert not [a for element in root.iter() for a in element.attrib if "href" in a or a.startswith("on")]
        assert path.stat().st_size < 60_000
        assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text


def charts_of(findings):
    """{path: (figure, its SVG)}"""
    drawn = drawings(fill(findings))
    texts = charts(findings, drawn)
    return {drawing.path: (drawing.figure, texts[drawing.path]) for drawing in drawn if drawing.path}


def test_a_chart_has_a_marker_for_every_measured_point(rich):
    figure, text = charts_of(rich)["charts/itl_chat_512_256.svg"]
    drawn = len(re.findall(r'<path d="[^"]+" transform=', text))
    points = sum(len(trace["x"]) for trace in figure.spec["data"])
    assert drawn == points + len(VARIANTS | DEPLOYMENTS), "and one for each variant in the legend"


def test_a_bar_that_reaches_zero_ends_at_the_bottom_of_a_logarithmic_axis(tmp_path):
    """Tokens that came in one piece have an ITL of 0."""
    manifest, records, rows = parts(repeats=2, rates=[1.0, 2.0, 4.0, 6.0, 8.0])
    for record in records:
        if record["cell"].get("scenario") and record["cell"]["repeat"]:
            record["result"]["itl_ms_p50"] = 0.0
    figure, text = charts_of(analyse(build(manifest, records, rows)))["charts/itl_chat_512_256.svg"]
    assert figure.spec["layout"]["yaxis"]["type"] == "log"
    heights = [float(y) for y in re.findall(r"V([\d.-]+)", text)]
    assert heights and all(0 <= y <= 400 for y in heights)


def test_a_hostile_chart_is_text():
    for _, text in charts_of(analyse(build(*hostile_parts()))).values():
        root = ElementTree.fromstring(text.encode("utf-8"))
        assert not [
            e
            for e in root.iter()
            if e.tag.removeprefix(SVG) not in ("svg", "title", "style", "rect", "text", "path", "g")
        ]


def test_file_names_from_outside_stay_in_the_folder():
    assert (
        file_name("../../etc/passwd") == "etc_passwd" and file_name("a/b c") == "a_b_c" and file_name("..") == "unnamed"
    )


def test_the_notes_show_every_chart_that_is_beside_them(report):
    notes = (report / "release_notes.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\]\((charts/[^)]+)\)", notes))
    assert shown == {f"charts/{path.name}" for path in (report / "charts").iterdir()}


def test_a_model_card_has_a_model_index_of_valid_scores(report, rich):
    card = (report / "model_cards" / "fp8.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(card.split("---\n")[1])
    (entry,) = metadata["model-index"]
    results = {result["dataset"]["name"]: result for result in entry["results"]}
    assert entry["name"] == "Dense FP8" and len(results) == 3
    score = rich.suites["fp8", "humaneval"].score.value
    assert results["pocket humaneval"]["metrics"][0] == {
        "type": "pass@1", "name": "pocket humaneval pass@1", "value": round(100 * score, 2), "verified": False
    }  # fmt: skip
    assert "pocket mmlu, subset: 570 of 14,042 items" in results, "a subset does not pass for the whole suite"
    assert "INT4" not in card and "Dense BF16" in card
    together = yaml.safe_load((report / "model_card.md").read_text(encoding="utf-8").split("---\n")[1])
    assert "model-index" not in together, "the hub's parser reads the results of one model"
    assert {path.stem for path in (report / "model_cards").iterdir()} == set(rich.study.forms)


def test_a_model_card_is_read_by_the_hubs_own_client(report):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(report / "model_cards" / "sparse_fp8.md", ignore_metadata_errors=False)
    assert {result.metric_type for result in card.data.eval_results} >= {"accuracy", "pass@1", "recovery"}
    assert card.data.model_name == VARIANTS["sparse_fp8"]["label"]
    recovery = next(result for result in card.data.eval_results if result.metric_type == "recovery")
    assert re.search(r"recovery: \d+\.\d % \[\d+\.\d, \d+\.\d\]$", recovery.metric_name), "with its interval"
    for result in card.data.eval_results:  # the project's own items and subsets do not go by a benchmark's name
        assert result.dataset_type not in ("mmlu", "gsm8k", "cais/mmlu", "openai/gsm8k")


def test_a_card_says_what_measured_it_and_names_no_local_path(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    manifest, records, rows = rich_parts()
    home = "/home/me/models"
    manifest["variants"]["bf16"]["checkpoint"] = f"{home}/Llama-3.1-8B"
    manifest["variants"]["fp8"]["checkpoint"] = f"{home}/Llama-3.1-8B FP8"
    manifest["description"] = f"FP8 of {home}/Llama-3.1-8B"
    manifest["command"] = f"python -m harness +sweep=x model={home}/Llama-3.1-8B"
    manifest["config"] = {"engine": {"kind": "vllm"}, "variants": {"bf16": {"checkpoint": f"{home}/Llama-3.1-8B"}}}
    manifest["report"] = {"base_model": "meta-llama/Llama-3.1-8B", "url": "https://example.org/report"}
    for record in records:
        name = record["cell"]["variant"]
        reference = manifest["variants"].get(name, {}).get("checkpoint") or f"{home}/other"
        record["engine"]["checkpoint"] = {"reference": reference, "location": reference, "digest": "d" * 64}
        record["engine"]["command"] = ["vllm", "serve", reference]
    write_report(build(manifest, records, rows), tmp_path)
    paths = [tmp_path / "model_card.md", *(tmp_path / "model_cards").iterdir()]
    assert len(paths) > 2
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert "/home" not in text and "me/models" not in text
        assert "[meta-llama/Llama-3.1-8B](https://huggingface.co/meta-llama/Llama-3.1-8B)" in text
        assert "[Full report](https://example.org/report)" in text
        card = hub.ModelCard.load(path, ignore_metadata_errors=False)
        assert card.data.base_model == "meta-llama/Llama-3.1-8B" and card.data.base_model_relation == "quantized"
        for fact in ("| engine | ", "| hardware | ", "| measured | 20", "| harness | ", "| sampling | greedy"):
            assert fact in text, fact
        assert "### Kernels, as logged by the engine" in text and "## Reproduction" in text
    fp8 = (tmp_path / "model_cards" / "fp8.md").read_text(encoding="utf-8")
    assert "Llama-3.1-8B FP8" in fp8 and "d" * 16 in fp8
    (sweep,) = (tmp_path / "sweep").iterdir()
    assert "/home" not in sweep.read_text() and f"--config-dir . +sweep={sweep.stem}" in fp8


def test_a_local_folder_that_looks_like_a_hub_id_is_no_base_model():
    manifest, records, rows = few()
    manifest["variants"]["bf16"]["checkpoint"] = "models/dense"
    for digest, named in (("d" * 64, False), (None, True)):
        for record in records:
            record["engine"]["checkpoint"] = {"reference": "models/dense", "digest": digest}
        found = analyse(build(manifest, records, rows))
        assert ("base_model: models/dense" in model_card(found, found.study.forms)) is named


ORIGINS = [  # where the items came from, all of them or not -> the dataset's type in the model-index
    ("pocket", "pocket mmlu", True, "pocket_mmlu"),
    ("pocket", "pocket mmlu", False, "pocket_mmlu"),
    ("mirror", "mirror data/mmlu", True, "mirror_mmlu"),
    ("hub", "cais/mmlu", True, "cais/mmlu"),
    ("hub", "cais/mmlu", False, "mmlu_subset"),
    ("hub", "HumanEvalPlus v0.1.10", True, "mmlu"),
]


@pytest.mark.parametrize(("source", "name", "whole", "kind"), ORIGINS)
def test_only_all_items_of_a_hub_dataset_go_by_its_id(source, name, whole, kind):
    hub = pytest.importorskip("huggingface_hub")
    manifest, records, rows = few()
    for record in records:
        if record["cell"].get("suite") == "mmlu" and record["cell"]["kind"] == "accuracy":
            items = record["result"]["counts"]["items"]
            record["result"]["data"] |= {"source": source, "name": name, "population": items if whole else 10 * items}
    text = model_card(analyse(build(manifest, records, rows)), ("fp8",))
    card = hub.ModelCard(text, ignore_metadata_errors=False)
    found = {one.dataset_type: one.dataset_name for one in card.data.eval_results if "mmlu" in one.dataset_name}
    assert list(found) == [kind]
    assert ("subset: " in found[kind]) is not whole
    assert ("pocket" in found[kind]) is (source == "pocket")
    if source == "pocket":
        evaluation = card.text.partition("## Evaluation")[2].partition("## Inference")[0]
        (row,) = [line for line in evaluation.splitlines() if line.startswith("| pocket mmlu")]
        assert ("subset: " in row) is not whole


def test_the_card_of_a_gguf_file_says_so():
    manifest, records, rows = few()
    for record in records:
        if record["cell"]["variant"] == "fp8":
            record["engine"]["kind"] = "llamacpp"
    cards = model_cards(analyse(build(manifest, records, rows)))
    facts = {name: yaml.safe_load(cards[f"model_cards/{name}.md"].split("---\n")[1]) for name in ("fp8", "sparse_fp8")}
    assert "gguf" in facts["fp8"]["tags"] and facts["fp8"]["library_name"] == "llama.cpp"
    assert "compressed-tensors" in facts["sparse_fp8"]["tags"]


def test_a_simulated_score_is_in_no_model_index():
    manifest, records, rows = few()
    for record in records:
        record["engine"]["kind"] = "simulated"
    card = model_cards(analyse(build(manifest, records, rows)))["model_card.md"]
    assert "model-index" not in card.split("---\n")[1] and "**SIMULATED**" in card


def test_cost_carries_the_price_its_day_and_its_source(rich, findings):
    note = cost_table(rich).note
    assert "2.50 USD per GPU-hour (list price, on demand, 2026-11-01)" in note
    assert cost_table(findings).rows == ()


def test_attribution_names_the_steps(rich):
    rows = [[td.text for td in row[:2]] for row in attribution_table(rich).rows]
    assert rows[0] == ["Dense BF16 → Dense FP8", "quantization"] and rows[2][1] == "together"
    assert REPORT["attribution"][1]["adds"] == "quantization"


def test_the_best_is_only_among_variants_on_as_many_gpus(rich):
    best = {
        (row[0].variant, column)
        for row in variants_table(rich).rows
        for column, td in enumerate(row)
        if td.tone == "best"
    }
    assert best and {variant for variant, _ in best} == {"sparse_fp8"}


def test_readings_carry_intervals_from_repeats_and_name_the_deployment(rich):
    own = fixed_latency_table(rich, "rag_1024_128")
    assert any(re.fullmatch(r"≈ [\d.]+ \[[\d.]+, [\d.]+\]", td.text) for row in own.rows for td in row)
    notes = [td.note for row in cutoffs_table(rich, "itl_ms_p99").rows for td in row]
    assert "2:4 sparse FP8, TP 2" in notes and "2 × 2:4 sparse FP8" in notes
