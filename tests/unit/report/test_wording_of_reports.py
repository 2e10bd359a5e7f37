"""The banned phrases are in no generated text either: pages, notes, cards, comparison, trend, dry run."""

import contextlib
import io
import re
import sys

import pytest

from harness.compare.__main__ import main as compare
from harness.compare.trend import main as trend
from harness.report import write_report
from tests.unit.compare.nights import night
from tests.unit.report.synthetic_study import build, rich_parts, watched_parts
from tests.unit.test_wording import BANNED

pytestmark = pytest.mark.slow

SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)  # plotly


def phrases(text):
    return [line.strip()[:160] for line in SCRIPT.sub("", text).splitlines() if BANNED.search(line)]


@pytest.mark.parametrize("parts", [rich_parts, watched_parts])
def test_a_report_has_no_banned_phrase(parts, tmp_path):
    write_report(build(*parts()), tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".html", ".md", ".json")]
    assert {path.suffix for path in files} == {".html", ".md", ".json"}
    assert [found for path in files for found in phrases(path.read_text())] == []


def test_a_comparison_and_a_trend_have_none(tmp_path, monkeypatch):
    nights = [night(tmp_path / f"n{n}", n, slower=1.2 if n > 6 else 1.0) for n in range(1, 9)]
    said = io.StringIO()
    gates = ["--min-recovery", "0.99", "--max-itl-regression", "0.05", "--markdown", tmp_path / "c.md"]
    for main, words in ((compare, [*nights, *gates]), (trend, nights)):
        monkeypatch.setattr(sys, "argv", ["x", *map(str, words), "--html", str(tmp_path / f"{main.__module__}.html")])
        with contextlib.redirect_stdout(said):
            main()
    written = [path.read_text() for path in tmp_path.iterdir() if path.suffix in (".html", ".md")]
    assert len(written) == 3
    assert [found for text in [said.getvalue(), *written] for found in phrases(text)] == []
