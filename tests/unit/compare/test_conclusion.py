"""A comparison opens with its conclusion: whether B regresses, by how much, from how many measurements."""

import sys

import pytest

from harness.compare.__main__ import main
from harness.compare.arguments import gates_of, parser
from harness.compare.outcome import compare_groups
from harness.compare.sides import groups
from harness.compare.summary import summary
from harness.compare.text import conclusion_text
from harness.report.largest_change import largest_change
from harness.report.regression import headlines, regression
from harness.report.tables.changes import changes_table
from harness.report.tables.comparison import accuracy_table
from tests.unit.compare.nights import night
from tests.unit.compare.two_sweeps import FEW, store

SLOW_E2E = ("itl_ms", "ttft_ms", "tpot_ms", "e2e_ms")


def slower(factor):
    def change(_manifest, records, _rows):
        for record in records:
            for name in record["result"]:
                if name.startswith(SLOW_E2E):
                    record["result"][name] *= factor

    return change


def outcome(*words):
    arguments = parser("").parse_args([*map(str, words)])
    *reference, candidate = arguments.folders
    return compare_groups(groups(reference, [candidate], None), gates_of(arguments), False, 0.08, "")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    few = {"variants": {"bf16": FEW["bf16"]}, "repeats": 3}
    return store(root / "old", **few), store(root / "same", **few), store(root / "new", change=slower(1.2), **few)


def test_a_regression_is_said_with_its_interval_and_number(stores):
    old, _, new = stores
    said = regression(outcome(old, new).compared)
    assert (
        said.startswith("B measured slower: single-stream speed 0.83× [")
        and "one start of each" in said
        and "3 runs a load point on each side" in said
    )


def test_equal_sides_do_not_regress(stores):
    old, same, _ = stores
    found = outcome(old, same)
    assert regression(found.compared).startswith("No regression is established")
    assert not any(cell.tone for row in changes_table(found.compared).rows for cell in row)


def test_a_ratio_above_one_is_better_in_the_table_and_the_chart(stores):
    old, _, new = stores
    ((comparison, _),) = outcome(old, new).compared
    latency = next(found for found in headlines(comparison) if found.name == "single-stream speed")
    assert latency.ratio.value == pytest.approx(1 / 1.2, rel=0.02) and latency.tone == "bad"


def test_gates_decide_the_conclusion_and_name_the_starts(tmp_path, capsys, monkeypatch):
    nights = [night(tmp_path / f"n{n}", n, slower=1.3 if n == 6 else 1.0) for n in range(1, 7)]
    html, markdown = tmp_path / "c.html", tmp_path / "c.md"
    words = [*nights, "--max-itl-regression", "0.05", "--html", html, "--markdown", markdown]
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, words)])
    assert main() == 3
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("B regresses: ") and "ITL p50: +" in first and "limit ≤ +5.0 %" in first
    assert "5 starts of A, 1 of B" in first
    page, summary = html.read_text(), markdown.read_text()
    header = page[page.index("<header>") : page.index("</header>")]
    assert header.index("B regresses") < header.index("<table") < header.index('id="changes"')
    assert summary.index("B regresses") < summary.index("| Variant |")


def test_the_largest_change_is_shown_though_it_is_inconclusive(stores, tmp_path):
    """One metric of one load point is 40 % slower in two of three repeats: its interval includes no change."""

    def noisy(_manifest, records, _rows):
        for record in records:
            point = record["cell"].get("point") or {}
            if point.get("profile") == "server" and record["cell"]["repeat"]:
                record["result"]["ttft_ms_p99"] *= 1.4

    new = store(tmp_path / "new", variants={"bf16": FEW["bf16"]}, repeats=3, change=noisy)
    found = outcome(stores[0], new)
    said = largest_change(found.compared)
    assert said.startswith("Largest observed change for the worse: chat_512_256, server ") and "TTFT p99: +2" in said
    assert "[" in said and said.endswith(", inconclusive.")
    worst = max(c.ratio.value for (pair, _) in found.compared for c in pair.changes if c.metric == "ttft_ms_p99")
    assert f"+{100 * (worst - 1):.1f} %" in said
    for shown in (conclusion_text(found, False), summary(found)):
        assert "Largest observed change for the worse" in shown


def test_the_resampling_names_its_seed(stores):
    old, same, _ = stores
    ((comparison, _),) = outcome(old, same).compared
    assert f"seed {comparison.a.study.seed})" in accuracy_table(comparison).note
