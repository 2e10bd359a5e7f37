"""Pages in a real browser: nothing is wider than the window at 1280 px; at 390 px tables scroll within their boxes."""

import copy
import io
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from harness.compare.__main__ import main as compare
from harness.compare.sides import read_study
from harness.compare.trend import main as trend
from harness.report import write_report
from tests.integration.report.opening import open_page
from tests.unit.compare.nights import night
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import SCENARIOS, build, parts, watched_parts

LONGEST = max(SCENARIOS, key=len)  # the widest; more scenarios make those pages longer, and not wider
STORES = Path(__file__).parents[2] / "fixtures/stores"
OPEN = "document.querySelectorAll('details').forEach(d => d.open = true)"
WIDER = """return [...document.querySelectorAll('body *')]
    .filter(e => !e.closest('.plot, caption.hide') && e.getBoundingClientRect().right > innerWidth + 0.5
              || e.matches('.scroll, pre') && e.scrollWidth > e.clientWidth + 1)
    .map(e => `${e.tagName} ${e.className} ${e.ariaLabel || e.innerText.slice(0, 60)}: ${e.scrollWidth} px`)"""
SPILLED = """return [...document.querySelectorAll('.scroll')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 || getComputedStyle(e).overflowX !== 'auto')
    .length"""

WIDER_THAN_ITS_CARD = """return [...document.querySelectorAll('.plot .main-svg')]
    .filter(e => e.getBoundingClientRect().right > e.closest('figure').getBoundingClientRect().right)
    .map(e => e.closest('.plot').id)"""

WITH_A_FIRST_SCREEN = ("report", "rich", "compare")
BOTTOMS = """return ['.answer', '.first table', '.first .plot'].map(part =>
    document.querySelector(part).getBoundingClientRect().bottom)"""


def served_by_others():
    """Endpoints with long labels: what serves them is not known."""
    manifest, records, rows = parts()
    for number, variant in enumerate(manifest["variants"].values(), 1):
        variant["label"] = f"Someone else's server {number}, in another region"
    for record in records:
        record["engine"] = copy.deepcopy(record["engine"]) | {"kind": "endpoint", "version": "unknown"}
        record["engine"]["model"] = "meta-llama/Meta-Llama-3.1-8B-Instruct-quantized.w8a8"
        record["engine"]["url"] = "https://inference.example.com/regions/eu-central-1/v1"
    return manifest, records, rows


@pytest.fixture(scope="module")
def pages(report, rich, big, tmp_path_factory):
    """The path of each page by its name."""
    root = tmp_path_factory.mktemp("pages")
    found = {"report": report, "rich": rich, "big": big}
    found["endpoints"] = write_report(build(*served_by_others()), root / "endpoints")
    found["watched"] = write_report(build(*watched_parts(repeats=2, gpus=2)), root / "watched")
    with tarfile.open(STORES / "schema_2.tar.gz") as archive:
        archive.extractall(root, filter="data")
    for name in ("tiny", "gemm"):
        found[name] = write_report(read_study(root / "schema_2" / name), root / name)
    longest = {LONGEST: SCENARIOS[LONGEST]}
    nights = [
        night(root / f"night_{n}", n, slower=1.1 if n > 6 else 1.0, variants=VARIANTS, scenarios=longest)
        for n in range(1, 8)
    ]
    gates = ["--min-recovery", "0.99", "--max-itl-regression", "p99=0.05"]
    in_turn = [*nights[0:6:2], "--candidate", *nights[1:7:2]]
    lines = {"compare": [*nights, *gates], "ab": [*in_turn, *gates], "trend": nights}
    for name, words in lines.items():
        found[name] = root / f"{name}.html"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [name, *map(str, words), "--html", str(found[name])])
            assert (trend if name == "trend" else compare)() in (0, 3)
    return found


@pytest.mark.parametrize(
    "name", ["report", "rich", "big", "endpoints", "watched", "tiny", "gemm", "compare", "ab", "trend"]
)
def test_no_page_has_a_part_wider_than_the_window(browser, pages, name):
    """And at 1280 x 800 the first screen has the conclusion, the table and the chart."""
    open_page(browser, pages[name], 1280)
    if name in WITH_A_FIRST_SCREEN:
        bottoms = browser.execute_script(BOTTOMS)
        assert all(0 < bottom <= 800 for bottom in bottoms)
    browser.execute_script(OPEN)
    assert browser.execute_script(WIDER) == []
    open_page(browser, pages[name], 390)
    browser.execute_script(OPEN)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert browser.execute_script(SPILLED) == 0
    assert browser.execute_script(WIDER_THAN_ITS_CARD) == []


def test_a_table_has_a_shadow_at_the_side_on_which_columns_are_hidden(browser, report):
    open_page(browser, report, 390)
    box = browser.find_element("css selector", ".first .scroll")
    assert browser.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", box)
    cut = edge(box)
    browser.execute_script("arguments[0].scrollLeft = arguments[0].scrollWidth", box)
    assert cut < edge(box) - 20, "darker while there is more to the right"


def edge(box) -> float:
    """The mean brightness, 0 to 255, of the last pixels within the right border of a box, below its heads."""
    picture = Image.open(io.BytesIO(box.screenshot_as_png)).convert("L")
    width, height = picture.size
    return ImageStat.Stat(picture.crop((width - 4, height // 2, width - 2, height - 8))).mean[0]
