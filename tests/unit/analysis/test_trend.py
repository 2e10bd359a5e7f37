"""Changes of level over nights: found where they are, and not where they are not; the trend of stores."""

import json

import numpy as np
import pytest

from harness.analysis.statistics.change_points import change_points
from harness.analysis.trend import Night, trend
from harness.report.pages.trend import conclusion, render_trend, sentences
from harness.report.tables.trend import trend_table
from tests.unit.report.synthetic_study import VARIANTS, build, parts


def nights(shift_at, shift, count, sd=0.01, seed=0):
    levels = np.where(np.arange(count) < shift_at, 0.0, np.log(shift))
    return np.exp(np.log(20.0) + levels + np.random.default_rng(seed).normal(0, sd, count)).tolist()


def test_a_shift_is_found_with_its_night_and_its_size():
    covered = []
    for seed in range(40):
        [found] = change_points(nights(12, 1.08, 24, seed=seed), 0.001)
        assert found.latest - found.earliest <= 3 and found.p < 0.001
        covered.append((found.earliest <= 12 <= found.latest, found.ratio.low < 1.08 < found.ratio.high))
    assert np.all(np.sum(covered, axis=0) >= 34), "99.8 % of binomials of 40 at 95 %"


def test_a_regression_that_was_mended_is_two_changes():
    values = nights(10, 1.1, 20) + nights(0, 1.1 * 0.9, 10, seed=5)
    assert [change.at for change in change_points(values, 0.01)] == [10, 20]


def test_series_without_a_change_have_one_in_five_percent():
    found = sum(bool(change_points(nights(0, 1.0, 14, seed=seed), 0.05)) for seed in range(400))
    assert 0 < found <= 31, "99 % of binomials of 400 at 5 % are at most 31"


@pytest.mark.parametrize("values", [[1.0] * 12, [1.0, 1 + 1e-15] * 6, [1.0, 1.1, 1.0, 2.0, 2.1], []])
def test_too_few_nights_and_nights_that_are_equal_have_none(values):
    assert change_points(values, 0.05) == []


@pytest.fixture(scope="module")
def stored():
    """Twelve nights; from the seventh on FP8's ITLs are 15 % longer."""
    found, rng = [], np.random.default_rng(3)
    for number in range(1, 13):
        manifest, records, rows = parts(
            variants={n: VARIANTS[n] for n in ("bf16", "fp8")}, rates=[2.0], scenarios={"chat_512_256": (512, 256)}
        )
        for record in records:
            slower = 1.15 if number >= 7 and record["cell"]["variant"] == "fp8" else 1.0
            factor = slower * np.exp(rng.normal(0, 0.005))
            at = f"2026-11-{number:02d}T02:00:00+00:00"
            for name in (name for name in record["result"] if name.startswith("itl_ms")):
                record["result"][name] *= factor
        found.append(Night(f"results/night_{number}", at, build(manifest, records, rows)))
    return found


def test_a_regression_of_one_variant_is_the_only_change_of_its_latencies(stored):
    series = trend(list(reversed(stored)))
    changed = {(s.variant, s.metric) for s in series if s.changes and s.metric.startswith(("itl", "ttft"))}
    assert changed == {("fp8", "itl_ms_p50"), ("fp8", "itl_ms_p99")}
    [one] = [s for s in series if (s.variant, s.load, s.metric) == ("fp8", "server 2/s", "itl_ms_p50")]
    [change] = one.changes
    assert len(one.points) == 12 and one.points[change.at].at == "2026-11-07T02:00:00+00:00"
    assert change.ratio.value == pytest.approx(1.15, rel=0.02)
    assert {s.metric for s in series} >= {"score", "output_tok_per_s", "ttft_ms_p99"}


def test_the_page_and_the_table_say_the_changes(stored):
    series = trend(stored)
    said = sentences(series)
    assert [s.subject for s in series] == sorted((s.subject for s in series), key=[s.subject for s in series].index)
    assert any("from 2026-11-07" in text and text.startswith("Dense FP8, chat_512_256") for text in said)
    assert any("+1" in row[-1].text and row[-1].tone == "bad" for row in trend_table(series).rows)
    page = render_trend(stored, series, "harness trend <x>", "0")
    assert "Trend of 12 nights" in page and "harness trend &lt;x&gt;" in page
    blocks = page.split('data-figure="')[1:]
    specs = [json.loads(block.split(">", 1)[1].split("</script>")[0]) for block in blocks]
    assert specs and all(spec["layout"]["xaxis"]["type"] == "date" for spec in specs)
    assert all(len(trace["x"]) == len(trace["y"]) for spec in specs for trace in spec["data"])


def test_what_is_printed_is_a_screen_with_the_changes_first(stored):
    series = trend(stored)
    assert len(trend_table(series).rows) == len(series) > 5
    shown = trend_table(series, 5)
    assert len(shown.rows) == 5 and f"5 of {len(series)} series" in shown.title
    assert all(row[-1].tone == "bad" for row in shown.rows[:2]), "FP8's ITLs"


def test_two_nights_are_not_tested_and_their_largest_difference_is_named(stored):
    series = trend([stored[0], stored[-1]])
    assert conclusion(series).startswith("Not tested: ")
    named = "Largest difference, last night against first: Dense FP8, chat_512_256"
    assert named in conclusion(series) and "ITL p" in conclusion(series) and "(no interval)" in conclusion(series)
    page = render_trend([stored[0], stored[-1]], series, "harness trend", "0")
    assert named in page and "Largest differences, last night against first" in page
