"""The page of harness.compare in a real browser: nothing in its console, every figure drawn, hostile text inert."""

import sys

import pytest

from harness.compare.__main__ import main
from tests.integration.report.opening import open_page
from tests.unit.compare.two_sweeps import store

ATTACK = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'><a href='javascript:1'>x</a>"


def hostile(manifest, records, _rows):
    manifest["variants"]["fp8"]["label"] = ATTACK
    for record in records:
        record["flags"].append({"code": ATTACK, "level": "caution", "message": ATTACK})
        record["inputs"]["engine"] = {ATTACK: ATTACK}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("compare")
    a, b = store(root / "old", repeats=2), store(root / "new", "0.33.0", itl=1.2, change=hostile, repeats=2)
    with pytest.MonkeyPatch.context() as patch:
        words = [a, b, "--html", root / "c.html", "--min-recovery", "1.05"]
        patch.setattr(sys, "argv", ["compare", *map(str, words)])
        assert main() == 3
    return root / "c.html"


@pytest.mark.parametrize(("width", "theme"), [(1600, "light"), (390, "dark")])
def test_every_figure_is_drawn_and_hostile_text_does_not_run(browser, page, width, theme):
    assert open_page(browser, page, width, theme) == []
    points = (
        "return [...document.querySelectorAll('.plot')].map(b => b.querySelectorAll('.scatterlayer .point').length)"
    )
    drawn = browser.execute_script(points)
    assert len(drawn) == 5 and all(drawn), "the changes, and ITL and TTFT of two variants"
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.querySelectorAll('main a[href^=javascript]').length") == 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width, "no sideways scrolling"


def test_the_verdict_is_on_top(browser, page):
    open_page(browser, page)
    assert "FAILED: 6 of 8 checks failed" in browser.execute_script("return document.querySelector('header').innerText")
