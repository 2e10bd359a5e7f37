"""Text from models, servers and file names must arrive as text."""

import json
import re

import pytest

from harness.report import write_report
from harness.report.files.markdown import markdown
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import build, parts
from tests.unit.report.test_files import Page

pytestmark = pytest.mark.slow

HOSTILE = [
    "</script><script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "{{ 7 * 7 }}{% for x in y %}",
    "@v1",
    "<a href='javascript:window.hacked=1'>x</a> | pipe | `tick` [link](http://evil.example)",
    "\u2028\u2029 \ud800 \x00 <!-- <script>",
]


def hostile_parts():
    text = " ".join(HOSTILE)
    manifest, records, rows = parts(variants={name: VARIANTS[name] for name in ("bf16", "fp8", "int4")})
    manifest["name"] = manifest["description"] = manifest["command"] = manifest["data"] = text
    manifest["variants"]["fp8"] |= {"label": text, "checkpoint": text, "scheme": {"weights": text, "sparsity": text}}
    manifest["variants"]["int4"]["label"] = "@v1"
    manifest["host"] = {text: text}
    manifest["config"][text] = [text]
    manifest["published"] = [{"variant": text, "suite": text, "value": 1, "source": text}]
    for record in records:
        if record["cell"]["variant"] != "fp8":
            continue
        record["flags"].append({"code": text, "level": "caution", "message": text})
        record["engine"] |= {"version": text, "command": [text], "log": text}
        record["engine"]["kernels"] = [{"layer": text, "kernel": text, "emulated": True}]
        if record["cell"]["kind"] != "load":
            record["result"]["data"] |= {"source": text, "name": text, "digest": text}
        if record["cell"]["kind"] == "judge":
            record["result"]["details"] |= {"judge": text, "reference": text, "length_unit": text}
    return manifest, records[:-1], rows, [{"key": records[-1]["cell"]["key"], "error": text, "log": text}]


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory):
    return write_report(build(*hostile_parts()), tmp_path_factory.mktemp("hostile")).parent


def test_no_tag_attribute_or_script_comes_from_a_text(hostile_report):
    page = Page((hostile_report / "index.html").read_text(encoding="utf-8"))
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "embed", "base", "link")]
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert all(attrs["href"].startswith("#") for tag, attrs in page.tags if tag == "a")
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert len([a for a in scripts if not a]) == 2 and all(a.get("type") == "application/json" for a in scripts if a)


def test_the_text_is_shown_as_it_is(hostile_report):
    text = " ".join(Page((hostile_report / "index.html").read_text(encoding="utf-8")).text)
    assert HOSTILE[0] in text and "{{ 7 * 7 }}" in text and HOSTILE[1] in text


def test_figure_data_cannot_end_their_script_and_carry_no_markup(hostile_report):
    page = Page((hostile_report / "index.html").read_text(encoding="utf-8"))
    figures = [text for attrs, text in page.scripts if "data-figure" in attrs]
    assert figures and not any(re.search(r"[<>&\u2028\u2029]", text) for text in figures)
    for text in figures:
        for trace in json.loads(text)["data"]:
            assert "<script" not in trace["name"] and "<img" not in str(trace.get("text"))
            assert "<a " not in trace.get("hovertemplate", "") and "<img" not in trace.get("hovertemplate", "")


def test_the_release_notes_have_no_markup_of_the_texts(hostile_report):
    notes = (hostile_report / "release_notes.md").read_text(encoding="utf-8")
    outside = re.sub(r"(?s)^(`{3,}).*?^\1$", "", notes, flags=re.MULTILINE)
    assert not re.search(r"<(script|img|a)\b", outside)
    assert not re.search(r"(?<!\\)\]\(http", outside)
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows[:4]}) == 1


def test_formulas_do_not_reach_a_spreadsheet(tmp_path):
    manifest, records, rows, _ = hostile_parts()
    records[0]["flags"] = [{"code": "=HYPERLINK(1)", "level": "note", "message": ""}]
    write_report(build(manifest, records, rows), tmp_path)
    assert "'=HYPERLINK(1)" in (tmp_path / "cells.csv").read_text(encoding="utf-8")


def test_markdown_keeps_names_readable():
    assert markdown("chat_512_256 [97.4, 101.2]") == "chat_512_256 [97.4, 101.2]"
    assert markdown("a|b\n*c* _d_ @team") == r"a\|b \*c\* \_d\_ &#64;team"
