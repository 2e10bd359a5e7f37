"""What a CI system reads of a comparison: JUnit XML, a Markdown summary, GitHub's annotations."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from harness.analysis.comparison import Side, compare_sides
from harness.analysis.decision.gates import FAILED, INCONCLUSIVE, NOT_EVALUATED, NOTE, PASSED, REFUSED, Check
from harness.analysis.statistics.intervals import Estimate
from harness.compare.annotations import annotations
from harness.compare.junit import junit
from harness.compare.outcome import Outcome, Pair
from harness.compare.summary import summary
from tests.unit.report.synthetic_study import VARIANTS, synthetic_study

STATUSES = (PASSED, FAILED, INCONCLUSIVE, NOT_EVALUATED, REFUSED, NOTE)
# junit-10.xsd of Jenkins' xUnit plugin, which pytest and GitLab follow too: what may be in what, and must be there.
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
}
ATTRIBUTES = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set()),
    "testsuite": (
        {"skipped", "time", "timestamp", "hostname", "id", "package"},
        {"name", "tests", "failures", "errors"},
    ),
    "testcase": ({"time", "classname", "group"}, {"name"}),
    **dict.fromkeys(("failure", "error", "skipped"), ({"type", "message"}, set())),
    "system-out": (set(), set()),
}


@pytest.fixture(scope="module")
def comparison():
    study = synthetic_study(variants={n: VARIANTS[n] for n in ("bf16", "fp8")}, scenarios={}, rates=[])
    return compare_sides(Side(study, "bf16", "results/a"), Side(study, "fp8", "results/b"))


def outcome(comparison, strict=False, what="chat_512_256, server 4/s, itl_ms_p99"):
    made = Check("max-itl-regression", what, 1.05, Estimate(1.08, 1.06, 1.1), PASSED, "5 and 1 start", "itl_ms_p99")
    found = [replace(made, status=status) for status in STATUSES]
    return Outcome((Pair(comparison, found, ("results/a",), ("results/b",)),), strict, 0.08, "harness compare a b")


@pytest.mark.parametrize("strict", [False, True])
def test_junit_keeps_the_schema_and_counts_what_fails(comparison, strict):
    root = ET.fromstring(junit(outcome(comparison, strict)))
    for parent in root.iter():
        optional, required = ATTRIBUTES[parent.tag]
        assert required <= set(parent.keys()) and set(parent.keys()) <= optional | required, parent.tag
        assert {child.tag for child in parent} <= CHILDREN.get(parent.tag, set())
    [suite] = root
    counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 6, "failures": 2 if strict else 1, "errors": 1, "skipped": 2}
    kinds = [next((c.tag for c in case if c.tag != "system-out"), None) for case in suite.iter("testcase")]
    assert kinds == [None, "failure", "failure" if strict else None, "error", "skipped", "skipped"]
    assert {root.get(name) for name in ("tests", "failures", "errors")} == {"6", "2" if strict else "1", "1"}


def test_every_suite_keeps_the_schema_of_mavens_surefire(comparison):
    """surefire-test-report.xsd: what must be there, in which order, and that a failure has a type."""
    for suite in ET.fromstring(junit(outcome(comparison))):
        assert {"name", "tests", "errors", "skipped", "failures"} <= set(suite.keys())
        for case in suite:
            assert case.tag == "testcase" and {"name", "time"} <= set(case.keys())
            assert re.fullmatch(r"\d+(\.\d{0,3})?", case.get("time"))
            order = [("failure", "skipped", "error", "system-out", "system-err").index(child.tag) for child in case]
            assert order == sorted(set(order))
            assert all(child.get("type") for child in case if child.tag in ("failure", "error"))


def test_a_reader_of_junit_counts_what_we_count(comparison):
    """junitparser, with which GitHub's test result actions read files."""
    parser = pytest.importorskip("junitparser", reason="junitparser is not installed: pip install 'harness[dev]'")
    read = parser.JUnitXml.fromstring(junit(outcome(comparison)).encode())
    read.update_statistics()
    assert (read.tests, read.failures, read.errors, read.skipped) == (6, 1, 1, 2)
    assert [case.is_passed for suite in read for case in suite] == [True, False, True, False, False, False]
    assert [case.is_skipped for suite in read for case in suite] == [False] * 4 + [True] * 2


def test_junit_of_hostile_names_is_well_formed(comparison):
    root = ET.fromstring(junit(outcome(comparison, what='<a b="]]>&\x00\x1b\ud800')))
    assert all("<a b=" in case.get("name") for case in root.iter("testcase"))


def test_the_summary_has_a_table_with_what_each_check_counts_as(comparison):
    text = summary(outcome(comparison, what="a|b\nc <script>"))
    first, _, rest = text.partition("| Result |")
    assert "**B regresses: " in first and "Checks failed" in first and "2 of 5" in first
    rows = [line for line in f"| Result |{rest}".splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(STATUSES)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}, "seven columns, whatever the names"
    assert "<script>" not in text and text.startswith("### FAILED: 2 of 5 checks failed")
    assert "pass (failure with --strict)" in text and "not counted" in text


def test_github_shows_ten_of_a_level_so_the_worst_come_first_and_the_tenth_counts_the_others(comparison):
    made = Check("max-itl-regression", "", 1.05, None, FAILED, "", "itl_ms_p99")
    found = [replace(made, what=f"point {n}", estimate=Estimate(1 + n / 100, 1, 2)) for n in range(12)]
    undecided = [replace(check, status=INCONCLUSIVE) for check in found[:10]]
    pair = Pair(comparison, [*found, *undecided], ("results/a",), ("results/b",))
    lines = list(annotations(Outcome((pair,), False, 0.08, "")))
    errors, warnings = ([line for line in lines if line.startswith(f"::{level} ")] for level in ("error", "warning"))
    assert len(errors) == len(warnings) == 10
    assert "::point 11:" in errors[0] and "::point 3:" in errors[8] and "::3 checks more" in errors[9]
    assert "::point 9:" in warnings[0] and "::point 0:" in warnings[9]


def test_annotations_are_one_line_each_and_nothing_can_end_one(comparison):
    lines = list(annotations(outcome(comparison, what="x\n::error::forged %0A")))
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning", "::warning"]
    assert all("\n" not in line and "%250A" in line for line in lines)
    assert [line.split(" ")[0] for line in annotations(outcome(comparison, strict=True))].count("::error") == 3
