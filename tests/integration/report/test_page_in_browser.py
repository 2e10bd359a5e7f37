"""The page in a real browser: nothing in its console, every figure drawn, what it shows equal to summary.json."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "report"))
from synthetic_study import VARIANTS, build, synthetic_study
from test_report_hostile import hostile_parts

from harness.report import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
if not (BROWSER and DRIVER):
    pytest.skip("no chromium with chromedriver here: apt-get install chromium chromium-driver", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install 'harness[dev]'")

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    with tempfile.TemporaryDirectory() as profile:
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        yield driver
        driver.quit()


def open_page(browser, path, width=1280, theme="light"):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(path.as_uri())
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda b: b.execute_script("return document.documentElement.dataset.drawn"))
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(synthetic_study(), tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize(("width", "theme"), [(1600, "light"), (390, "dark")])
def test_no_console_error_and_every_figure_drawn(browser, report, width, theme):
    assert open_page(browser, report, width, theme) == []
    drawn = browser.execute_script(
        """return [...document.querySelectorAll('.plot')].map(box => [
               box.querySelectorAll('.scatterlayer .point').length,
               box.data.reduce((sum, trace) => sum + (trace.mode.includes('markers') ? trace.x.length : 0), 0)])"""
    )
    assert len(drawn) == 13 and all(points == expected > 0 for points, expected in drawn)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width, "no sideways scrolling"


def test_what_the_page_shows_is_what_the_summary_says(browser, report):
    open_page(browser, report)
    summary = json.loads((report.parent / "summary.json").read_text())
    shown = browser.execute_script(
        "return [...document.querySelectorAll('.verdicts li')].map(li => [li.dataset.variant, li.innerText])"
    )
    for variant, text in shown:
        assert " ".join(text.split()) == summary["variants"][variant]["verdict"]
    curve = browser.execute_script("return document.getElementById('itl_ms-0').data")
    for variant in VARIANTS:
        p99 = next(t for t in curve if t["meta"] == variant and t["name"].endswith("p99"))
        stored = [
            p["metrics"]["itl_ms_p99"]
            for p in summary["load_points"]
            if (p["variant"], p["scenario"], p["profile"]) == (variant, "chat_512_256", "server")
        ]
        assert p99["y"] == pytest.approx(stored, rel=1e-5)


def test_a_press_on_the_legend_hides_the_variant_in_every_figure(browser, report):
    open_page(browser, report)
    hidden = """return [...document.querySelectorAll('.plot')].map(
        box => box.data.filter(t => t.meta === 'fp8').every(t => t.visible === false))"""
    browser.execute_script("document.querySelector('button[data-variant=fp8]').click()")
    assert all(browser.execute_script(hidden))
    pressed = "return [...document.querySelectorAll('button[data-variant=fp8]')].map(b => b.ariaPressed)"
    assert set(browser.execute_script(pressed)) == {"false"}
    browser.execute_script("document.querySelector('button[data-variant=fp8]').click()")
    assert not any(browser.execute_script(hidden))


def test_the_theme_changes_the_colours_of_the_figures(browser, report):
    colour = "return document.getElementById('itl_ms-0').data[0].line.color"
    open_page(browser, report, theme="light")
    light = browser.execute_script(colour)
    open_page(browser, report, theme="dark")
    assert browser.execute_script(colour) != light


def test_hostile_text_does_not_run(browser, tmp_path):
    path = write_report(build(*hostile_parts()), tmp_path)
    assert open_page(browser, path) == []
    assert browser.execute_script("return window.hacked") is None
    links = "return [...document.querySelectorAll('.plot a')].length"
    assert browser.execute_script(links) == 0
