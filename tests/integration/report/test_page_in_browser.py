"""The page in a real browser: nothing in its console, every figure drawn, what it shows equal to summary.json."""

import json
from itertools import pairwise

import pytest

from harness.report import write_report
from harness.report.verdicts import ONE_RUN
from tests.integration.report.opening import open_page
from tests.unit.report.synthetic_records import DEPLOYMENTS, VARIANTS
from tests.unit.report.synthetic_study import build
from tests.unit.report.test_hostile import hostile_parts


@pytest.mark.parametrize(("width", "theme"), [(1600, "light"), (900, "light"), (390, "dark")])
def test_no_console_error_and_every_figure_drawn(browser, report, width, theme):
    assert open_page(browser, report, width, theme) == []
    drawn = browser.execute_script(
        """return [...document.querySelectorAll('.plot')].map(box => [
               box.querySelectorAll('.scatterlayer .point').length,
               box.data.reduce((sum, trace) => sum + (trace.mode.includes('markers') ? trace.x.length : 0), 0)])"""
    )
    assert len(drawn) == 14 and all(points == expected > 0 for points, expected in drawn)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width, "no sideways scrolling"


def test_what_the_page_shows_is_what_the_summary_says(browser, report):
    open_page(browser, report)
    summary = json.loads((report.parent / "summary.json").read_text())
    shown = browser.execute_script(
        "return [...document.querySelectorAll('.verdicts li')].map(li => [li.dataset.variant, li.innerText])"
    )
    for variant, text in shown:
        said = summary["variants"][variant]["verdict"]  # may be quoted alone; the page says once what a number is of
        assert " ".join(text.split()) == said.removesuffix(f" {ONE_RUN}")
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
    hidden = """return [...document.querySelectorAll('.plot')]
        .map(box => box.data.filter(t => t.meta === 'fp8')).filter(own => own.length)
        .map(own => own.every(t => t.visible === false))"""
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


def test_every_kind_of_figure_is_drawn_with_its_error_bars(browser, rich):
    assert open_page(browser, rich, 1600) == []
    ids = browser.execute_script(
        "return [...document.querySelectorAll('.plot .main-svg')].map(s => s.closest('.plot').id)"
    )
    kinds = {name.rstrip("0123456789").rstrip("-") for name in ids}
    fronts = {"front-latency", "front-capacity", "front-cost", "front-throughput"}
    assert kinds == {"first-front", "itl_ms", "ttft_ms", "e2e_ms", "ladder", "envelope"} | fronts
    bars = "return document.querySelectorAll('#front-capacity .errorbar path').length"
    assert browser.execute_script(bars) == 2 * (len(VARIANTS | DEPLOYMENTS) - 1), "both ways, all but the baseline"


def test_figures_of_gains_and_cost_are_those_of_the_summary(browser, rich):
    open_page(browser, rich)
    summary = json.loads((rich.parent / "summary.json").read_text())
    for front in summary["fronts"]:
        data = browser.execute_script("return document.getElementById(arguments[0]).data", f"front-{front['name']}")
        for trace in data:
            if bound := front["bounds"].get(trace.get("meta")):
                assert trace["x"][0] == pytest.approx(bound["at_least"] or bound["at_most"], rel=1e-5)
            elif trace.get("meta"):
                point = front["points"][trace["meta"]]
                assert trace["x"] == pytest.approx([point["gain"]["value"]], rel=1e-5)
                assert trace["y"] == pytest.approx([100 * point["recovery"]["value"]], rel=1e-5)
    ladder = browser.execute_script("return document.getElementById('ladder').data")
    last = next(t for t in ladder if t["meta"] == "sparse_fp8" and t["mode"] == "markers")
    whole = summary["attribution"][-1]["speedups"]["latency"]["value"]
    assert last["x"][last["y"].index("all scenarios")] == pytest.approx(whole, rel=1e-5)
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#cost tbody tr:not(.block)')].map(r => r.cells[1].innerText)"
    )
    assert len(rows) == len(VARIANTS | DEPLOYMENTS) * 3
    own = next(c for c in summary["costs"] if (c["variant"], c["scenario"]) == ("bf16", "chat_512_256"))
    assert rows[0].startswith(f"{own['output_tokens_per_currency_unit']['value']:,.0f} [")


def test_printing_draws_every_figure(browser, rich):
    """Also those that were never on the screen."""
    browser.get("about:blank")
    browser.get(rich.as_uri())
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    drawn = "return [...document.querySelectorAll('.plot')].every(box => box.querySelector('.main-svg'))"
    assert browser.execute_script(drawn)
    paper = browser.execute_script("return getComputedStyle(document.documentElement).getPropertyValue('--page')")
    assert paper.strip() == "#fff"


def test_the_legend_is_reached_and_pressed_by_keyboard(browser, report):
    from selenium.webdriver.common.keys import Keys

    open_page(browser, report)
    button = browser.find_element("css selector", "button[data-variant=fp8]")
    button.send_keys(Keys.SPACE)
    assert button.get_attribute("aria-pressed") == "false"
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-pressed") == "true"


def test_what_cannot_be_seen_has_a_name(browser, rich):
    open_page(browser, rich)
    unnamed = """return [...document.querySelectorAll('.plot, .scroll, section, nav, button')].filter(e =>
        !(e.ariaLabel || e.getAttribute('aria-labelledby') || e.innerText.trim())).length"""
    assert browser.execute_script(unnamed) == 0
    levels = browser.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    blocks = """return [...document.querySelectorAll('main details.data')].map(d =>
        [d.querySelectorAll('table').length, (d.previousElementSibling.matches('figure') ? [0] :
         d.previousElementSibling.querySelectorAll('figure')).length])"""
    counts = browser.execute_script(blocks)
    assert all(tables == figures > 0 for tables, figures in counts), "a table for each chart, beneath the charts"
    figures = browser.execute_script("return document.querySelectorAll('main figure').length")
    assert sum(tables for tables, _ in counts) == figures


def test_six_variants_nine_scenarios_ten_rates_stay_under_six_megabytes(browser, big):
    assert big.stat().st_size < 6_000_000
    assert open_page(browser, big, 1600) == []
    assert browser.execute_script("return document.querySelectorAll('.plot .main-svg').length") >= 9 * 3 + 4
