import csv
import hashlib
import json
import os
import re
import subprocess
from html.parser import HTMLParser

import pytest

from harness.analysis import analyse
from harness.report import write_report
from harness.report.files.folder import write_files
from tests.unit.report.synthetic_records import RATES, VARIANTS
from tests.unit.report.synthetic_study import SCENARIOS, build, parts, synthetic_study, without

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(synthetic_study(), tmp_path_factory.mktemp("report")).parent


class Page(HTMLParser):
    """What a browser would load and run: tags with their attributes, the text of scripts, all other text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.text, self._inside = [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = (tag, dict(attrs)) if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside and self._inside[0] == "script":
            self.scripts.append((self._inside[1], data))
        elif not self._inside:
            self.text.append(data)


def page_of(study, tmp_path):
    return Page(write_report(study, tmp_path).read_text(encoding="utf-8"))


def test_the_same_study_gives_the_same_bytes(report, tmp_path):
    again = write_report(synthetic_study(), tmp_path).parent
    names = sorted(str(path.relative_to(report)) for path in report.rglob("*") if path.is_file())
    plain = [name for name in names if "/" not in name]
    assert plain == [".files.json", "cells.csv", "index.html", "model_card.md", "release_notes.md", "summary.json"]
    assert {"charts/pareto_latency.svg", "charts/itl_chat_512_256.svg", "model_cards/int4.md"} <= set(names)
    for name in names:
        assert (report / name).read_bytes() == (again / name).read_bytes(), name


def test_the_page_needs_nothing_from_outside(report):
    page = Page((report / "index.html").read_text(encoding="utf-8"))
    loading = [(tag, attrs) for tag, attrs in page.tags if "src" in attrs or tag in ("link", "iframe", "img", "object")]
    assert loading == []
    assert all(a["href"].startswith("#") for tag, a in page.tags if tag == "a")
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'") and "unsafe-inline' 'self" not in policy
    assert (report / "index.html").stat().st_size < 6_000_000


def test_every_section_is_there(report):
    page = Page((report / "index.html").read_text(encoding="utf-8"))
    sections = [a["id"] for tag, a in page.tags if tag == "section"]
    assert sections == [
        "recommendation",
        "verdict",
        "variants",
        "recovery",
        "fidelity",
        "judge",
        "slo",
        "load",
        "pareto",
        "serving",
        "attribution",
        "cutoffs",
        "published",
        "validity",
        "provenance",
    ]


def test_every_figure_is_valid_plotly_with_a_data_table(report):
    import plotly.graph_objects as go

    page = Page((report / "index.html").read_text(encoding="utf-8"))
    figures = {a["data-figure"]: json.loads(text) for a, text in page.scripts if "data-figure" in a}
    assert len(figures) == 1 + 3 * len(SCENARIOS) + 3 + 1, (
        "the first, three latencies a scenario, three fronts, the ladder"
    )
    for spec in figures.values():
        text = re.sub(r'"@(v\d+|[a-z]+)"', '"#123456"', json.dumps(spec))
        go.Figure(json.loads(text))
    curve = figures["itl_ms-0"]["data"]
    assert [trace["meta"] for trace in curve] == [name for name in VARIANTS for _ in ("p50", "p99")]
    assert all(len(trace["x"]) == len(RATES) for trace in curve)
    assert [trace["line"]["dash"] == "solid" for trace in curve] == [True, False] * len(VARIANTS)


def test_a_variant_has_one_colour_and_marker_on_the_whole_page(report):
    page = Page((report / "index.html").read_text(encoding="utf-8"))
    looks = {}
    for attrs, text in page.scripts:
        for trace in json.loads(text)["data"] if "data-figure" in attrs else []:
            if "marker" in trace:
                symbol = trace["marker"]["symbol"]
                symbol = symbol if isinstance(symbol, str) else symbol[0].removesuffix("-open")
                looks.setdefault(trace["meta"], set()).add((trace["marker"]["color"], symbol))
    assert all(len(found) == 1 for found in looks.values()) and len(looks) == len(VARIANTS)
    assert len({look for found in looks.values() for look in found}) == len(VARIANTS)


def test_a_rate_that_was_not_reached_is_hollow(report):
    page = Page((report / "index.html").read_text(encoding="utf-8"))
    specs = {a["data-figure"]: json.loads(text) for a, text in page.scripts if "data-figure" in a}
    assert specs["itl_ms-2"]["data"][0]["marker"]["symbol"] == ["circle", "circle", "circle-open"]


def test_the_summary_is_the_findings(report, findings):
    summary = json.loads((report / "summary.json").read_text())
    assert summary["schema"] == 4
    metrics = summary["variants"]["fp8"]["metrics"]
    own = findings.suites["fp8", "mmlu"].comparison.recovery
    assert metrics["recovery/mmlu"] == pytest.approx(own.value)
    assert metrics["recovery/mmlu_low"] == pytest.approx(own.low)
    assert {"chat_512_256/itl_ms_p99_at_qps_4", "chat_512_256/output_tok_per_s_throughput"} <= metrics.keys()
    assert not any(name.startswith("win_rate") for name in metrics), "the judge is no better than chance"
    [entry] = [e["comparison"] for e in summary["suites"] if (e["variant"], e["suite"]) == ("fp8", "mmlu")]
    found = findings.suites["fp8", "mmlu"].comparison
    assert (entry["p"], entry["p_holm"]) == pytest.approx((found.p, found.p_holm))
    assert (entry["test"], entry["non_inferior"]) == ("exact McNemar", found.verdict)
    assert entry["items_to_show_range"] == list(found.items_range)


def test_cells_csv_has_a_line_a_cell(report):
    manifest, _, _ = parts()
    with open(report / "cells.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert sorted(line["key"] for line in lines) == sorted(cell["key"] for cell in manifest["cells"])
    assert {line["status"] for line in lines} == {"measured"}


def test_missing_and_failed_cells_are_named_and_the_page_is_marked_partial(tmp_path):
    manifest, records, rows = parts()
    records = without(records, "accuracy-int4-gsm8k", "load-fp8-chat", "load-bf16-rag_1024_128-throughput")
    failures = [{"key": "accuracy-int4-gsm8k", "error": "the server died: <out of memory>", "log": "results/x.log"}]
    study = build(manifest, records, rows, failures)
    page = page_of(study, tmp_path)
    text = " ".join(page.text)
    assert "the server died: <out of memory>" in text and "results/x.log" in text
    assert "fp8 · chat_512_256 · throughput" in text and "6 cells not measured" in text
    assert "PARTIAL" in text
    notes = (tmp_path / "release_notes.md").read_text()
    assert "the server died: &lt;out of memory&gt;" in notes and "## Not measured" in notes
    findings = analyse(study)
    assert findings.averages["int4"].recovery is None and "gsm8k" in findings.averages["int4"].reason
    assert "has no accuracy recovery" in text
    assert findings.latency["fp8"] is None and "int4" in findings.fronts[0].absent


@pytest.mark.parametrize("lost", [("load-",), ("accuracy-", "judge-"), ("accuracy-bf16", "load-bf16"), ("",)])
def test_a_report_is_written_whatever_is_missing(tmp_path, lost):
    manifest, records, rows = parts()
    page = page_of(build(manifest, without(records, *lost), rows), tmp_path)
    assert "PARTIAL" in " ".join(page.text)


def test_a_sweep_of_the_baseline_alone_and_of_nothing(tmp_path):
    only = {name: VARIANTS[name] for name in ("bf16",)}
    assert "No variant is compared" in " ".join(page_of(synthetic_study(variants=only), tmp_path).text)
    bare = {"name": "bare", "baseline": "a", "variants": {"a": {}}, "suites": [], "scenarios": {}, "cells": []}
    page_of(build(bare, [], {}), tmp_path)


def test_an_invalid_cell_is_drawn_as_a_cross_and_compared_with_nothing(tmp_path):
    manifest, records, rows = parts()
    bad = {"code": "client_lag", "level": "invalid", "message": "the client was 40 ms late"}
    spoilt = ("load-fp8-chat_512_256-server-2.0-0", "load-fp8-chat_512_256-single_stream-None-0", "accuracy-fp8-mmlu")
    for record in records:
        if record["cell"]["key"] in spoilt:
            record["flags"].append(bad)
    study = build(manifest, records, rows)
    page = page_of(study, tmp_path)
    specs = {a["data-figure"]: json.loads(text) for a, text in page.scripts if "data-figure" in a}
    crosses = [t for t in specs["itl_ms-0"]["data"] if t["meta"] == "fp8" and t["mode"] == "markers"]
    assert [t["marker"]["symbol"] for t in crosses] == ["x-thin", "x-thin"]
    findings = analyse(study)
    assert findings.suites["fp8", "mmlu"].comparison is None and findings.latency["fp8"] is None
    assert "the client was 40 ms late" in " ".join(page.text)
    metrics = json.loads((tmp_path / "summary.json").read_text())["variants"]["fp8"]["metrics"]
    assert "accuracy/mmlu" not in metrics and "chat_512_256/itl_ms_p50_single_stream" not in metrics


def test_prompts_that_drifted_are_told_and_do_not_end_the_report(tmp_path):
    manifest, records, rows = parts()
    rows["accuracy-fp8-mmlu"] = [{**row, "prompt_hash": "other"} for row in rows["accuracy-fp8-mmlu"]]
    assert "were not asked in the same words" in " ".join(page_of(build(manifest, records, rows), tmp_path).text)


def test_repeats_give_intervals_and_bars(tmp_path):
    study = synthetic_study(repeats=3)
    findings = analyse(study)
    assert findings.throughput["fp8"] is not None
    page = page_of(study, tmp_path)
    specs = {a["data-figure"]: json.loads(text) for a, text in page.scripts if "data-figure" in a}
    assert all(len(t["error_y"]["array"]) == 3 for t in specs["itl_ms-0"]["data"])


def test_the_report_is_replaced_whole(tmp_path):
    write_report(synthetic_study(), tmp_path)
    digest = hashlib.sha256((tmp_path / "index.html").read_bytes()).hexdigest()
    write_report(synthetic_study(), tmp_path)
    assert hashlib.sha256((tmp_path / "index.html").read_bytes()).hexdigest() == digest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".files.json"]


def test_half_written_files_of_a_report_that_was_killed_are_removed(tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    abandoned = tmp_path / f".index.html-{process.pid}-abc12_x-"
    of_another = tmp_path / f".index.html-{os.getpid()}-abc"
    not_ours = [tmp_path / ".index.html-backup-1", tmp_path / ".other.html-1-x", tmp_path / "index.html-1-x"]
    for path in (abandoned, of_another, *not_ours):
        path.write_text("half")
    write_files(tmp_path, {"index.html": "whole"})
    assert (tmp_path / "index.html").read_text() == "whole" and not abandoned.exists()
    assert of_another.exists() and all(path.exists() for path in not_ours)
