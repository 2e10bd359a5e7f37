from dataclasses import replace

import pytest
from statsmodels.stats.multitest import multipletests

from harness.analysis import analyse
from harness.analysis.comparison import Side, compare_sides
from harness.analysis.scalars import scalars
from harness.analysis.speed.performance import PointResult
from harness.analysis.speed.readings import AT_LEAST, NOT_REACHED, Reading
from harness.analysis.statistics.intervals import Estimate
from harness.errors import ConfigError
from harness.records.load_result import CapacityResult
from harness.records.manifest import Published
from harness.records.point import LoadPoint
from harness.report.figures.style import styles
from harness.report.tables.accuracy import judge_table, recovery_table
from harness.report.tables.overview import published_table
from harness.report.tables.performance import other_loads_table
from harness.report.tables.table import best
from harness.report.verdicts import verdicts
from harness.report.words import NONE, measured, number, p_value, percent, points, reading, size, slo, times
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.composing.report_settings import SECTIONS
from tests.unit.report.synthetic_study import build, parts, synthetic_study

pytestmark = pytest.mark.slow


def test_numbers_carry_unit_and_interval():
    assert percent(Estimate(0.992, 0.981, 1.004)) == "99.2 % [98.1, 100.4]"
    assert points(Estimate(-0.005, -0.016, 0.004)) == "-0.5 [-1.6, +0.4]"
    assert points(Estimate(-1e-9, -1e-9, 0.0)) == "+0.0 [+0.0, +0.0]"
    assert points(Estimate(0.0, -0.00028, 0.00028)) == "+0.00 [-0.03, +0.03]", "an interval, not nothing"
    assert percent(Estimate(1.0, 0.9997, 1.0003)) == "100.00 % [99.97, 100.03]"
    assert times(Estimate(1.48, 1.44, 1.52)) == "1.48× [1.44, 1.52]"
    assert times(Estimate(1.48)) == "1.48×" and times(None) == "–"
    assert percent(Estimate(3.0, 0.5, None)) == "300.0 % [50.0, unbounded]"
    assert [number(x) for x in (0.01234, 1.234, 12.34, 123.4, 1234.5, None)] == [
        "0.0123",
        "1.23",
        "12.3",
        "123",
        "1,234",
        "–",
    ]
    assert (size(269_000_000), size(16_060_000_000), size(None)) == ("269 MB", "16.06 GB", "–")
    assert (p_value(0.0002), p_value(0.0456), p_value(None)) == ("< 0.001", "0.046", "–")
    assert (reading(Reading(4.0, AT_LEAST)), reading(Reading(None, NOT_REACHED))) == ("≥ 4.00", "not reached")
    assert slo({"itl_ms_p99": 50.0, "ttft_ms_p99": 500.0}) == "p99 ITL ≤ 50 ms and p99 TTFT ≤ 500 ms"


def test_a_verdict_says_when_there_is_no_difference_and_when_there_is(findings):
    texts = {v.variant: v.text for v in verdicts(findings)}
    assert "of Dense BF16's accuracy (no significant difference) and serves" in texts["fp8"]
    said = "Non-inferiority at a 1 % margin: "
    assert (
        f"{said}inconclusive on average over 3 suites, established on 0 of 3 suites (inconclusive on mmlu"
        in texts["fp8"]
    )
    assert "accuracy (a significant loss) and" in texts["sparse_fp8"]
    assert f"{said}rejected on average over 3 suites" in texts["sparse_fp8"]
    assert "kernels are emulated" in texts["fp8"] and "emulated" not in texts["int4"]
    assert "(n = 1, no CI)" in texts["int4"]


def test_significant_is_corrected_for_the_variants_else_nominal(findings):
    p = {name: findings.averages[name].p for name in findings.study.forms}
    assert [findings.averages[name].p_holm for name in p] == pytest.approx(
        list(multipletests(list(p.values()), method="holm")[1])
    )
    low = replace(findings.averages["fp8"], recovery=Estimate(0.97, 0.95, 0.99), p=0.02, p_holm=0.06)
    text = next(v.text for v in verdicts(replace(findings, averages=findings.averages | {"fp8": low})))
    assert "(a nominal loss, not significant when corrected for 3 variants)" in text


def test_a_variant_equal_to_the_baseline_is_said_to_be_equal():
    manifest, records, rows = parts()
    for suite in ("mmlu", "gsm8k", "humaneval"):
        rows[f"accuracy-int4-{suite}"] = rows[f"accuracy-bf16-{suite}"]
    findings = analyse(build(manifest, records, rows))
    (text,) = (v.text for v in verdicts(findings) if v.variant == "int4")
    assert "keeps 100.0 %" in text and "no significant difference" in text
    assert findings.averages["int4"].recovery.low < 1.0, "no flip in some hundred items is still no proof"


def test_a_weak_judge_shows_no_win_rate(findings):
    table = judge_table(findings)
    assert table.rows[0][1].text == (
        "not shown: the judge is no better than chance on known pairs (54.0 % [42.0, 66.0])"
    )


def test_a_good_judge_shows_it_against_fifty_percent():
    manifest, records, rows = parts()
    for record in records:
        if record["cell"]["kind"] == "judge":
            record["result"]["details"]["calibration"] = {"accuracy": 0.92, "low": 0.82, "high": 0.97, "pairs": 60}
    findings = analyse(build(manifest, records, rows))
    cell = judge_table(findings).rows[0][1]
    assert "[" in cell.text and "50 %" in cell.note
    assert "On alpaca_eval it wins" in verdicts(findings)[0].text
    assert recovery_table(findings).rows[-4][0].text == "alpaca_eval"


def test_noise_floor_from_a_second_run_of_the_baseline():
    manifest, records, rows = parts()
    first = next(r for r in records if r["cell"]["key"] == "accuracy-bf16-mmlu")
    cell = {**first["cell"], "key": "again", "repeat": 1, "fingerprint": "again"}
    manifest["cells"].append(cell)
    records.append({**first, "cell": cell, "fingerprint": "again"})
    rows["again"] = rows["accuracy-bf16-mmlu"]
    findings = analyse(build(manifest, records, rows))
    comparison = findings.suites["int4", "mmlu"].comparison
    assert comparison.noise.value == 0.0 and comparison.noise.bounded
    row = next(row for row in recovery_table(findings).rows if row[0].text == "mmlu" and row[1].variant == "int4")
    assert row[5].note == "flips 0 / 0"


def test_every_number_of_a_variant_may_stand_beside_a_published_one(findings):
    sections = {name.partition("/")[0] for v in findings.study.variants for name in scalars(findings, v)}
    assert sections <= {*SECTIONS, *findings.study.scenarios}


def test_published_scores_in_percent_and_metrics():
    study = synthetic_study()
    texts = [[td.text for td in row] for row in published_table(analyse(replace(study, data="hub"))).rows]
    assert texts[0][2] == "66.3 %" and texts[0][4].startswith("-7.1 [")
    assert texts[1][2:4] == ["1.70", "1.62"], "one run each"
    pocket = [[td.text for td in row] for row in published_table(analyse(study)).rows]
    assert pocket[0][2:4] == texts[0][2:4] and pocket[0][4] == "not compared", "other items under the same name"
    assert pocket[1][4] == texts[1][4], "a speed-up does not depend on them"


def test_a_published_speed_over_another_variant_is_compared_with_that_one():
    study = synthetic_study()
    over = {"variant": "sparse_fp8", "against": "fp8", "source": "sparsity alone"}
    metrics = ("speedup/e2e_single_stream", "speedup/output_tok_per_s_throughput")
    entries = tuple(Published.from_json({**over, "metric": metric, "value": 1.2}) for metric in metrics)
    rows = published_table(analyse(replace(study, published=entries))).rows
    pair = compare_sides(Side(study, "fp8", "x"), Side(study, "sparse_fp8", "x")).findings.speedups["B"]
    assert [row[3].text for row in rows] == [measured(pair.latency), measured(pair.throughput)]
    assert [row[1].note for row in rows] == ["against Dense FP8"] * 2
    over_baseline = analyse(study).speedups["sparse_fp8"]
    assert pair.latency.value < over_baseline.latency.value
    absent = replace(study, published=(replace(entries[0], against="not_measured"),))
    assert published_table(analyse(absent)).rows[0][3].text == NONE


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"against": "fp9", "metric": "speedup/e2e_single_stream"}, "no 'fp9'"),
        ({"against": "fp8_dynamic", "metric": "speedup/e2e_single_stream"}, "its own variant"),
        ({"against": "bf16", "suite": "mmlu"}, "no speed-up"),
        ({"against": "bf16", "metric": "recovery/average"}, "no speed-up"),
    ],
)
def test_a_published_entry_against_nothing_sensible_is_refused(entry, said):
    facts = {"variant": "fp8_dynamic", "value": 1, "source": "s", **entry}
    settings = ", ".join(f"{key}: {value}" for key, value in facts.items())
    with pytest.raises(ConfigError) as error:
        compose_sweep(["+sweep=which_compression", "model=a/b", f"published=[{{{settings}}}]"])
    assert said in str(error.value)


def test_the_hopper_study_is_quoted_as_it_says():
    config = compose_sweep(["+sweep=hopper_sparse_fp8"])
    speeds = {(e.metric, e.against): e.value for e in config.published if e.metric}
    assert speeds == {
        ("speedup/e2e_single_stream", None): 1.7,
        ("speedup/output_tok_per_s_throughput", None): 1.5,
        ("speedup/e2e_single_stream", "fp8_dynamic"): 1.43,
        ("speedup/output_tok_per_s_throughput", "fp8_dynamic"): 1.2,
    }


def test_the_best_is_marked_only_where_it_is_clear():
    clear = {"a": Estimate(1.0), "b": Estimate(1.5, 1.4, 1.6), "c": Estimate(1.2, 1.1, 1.3)}
    assert best(clear) == "b"
    assert best(clear | {"c": Estimate(1.45, 1.2, 1.5)}) is None
    assert best({"a": Estimate(1.0), "b": Estimate(2.0)}) is None, "no interval, no winner"


@pytest.mark.parametrize("count", [1, 4, 12])
def test_variants_look_different(count):
    one = synthetic_study().variants["fp8"]
    looks = styles({f"v{i}": one for i in range(count)}, "v0")
    assert len({(look.light, look.marker) for look in looks.values()}) == count
    assert looks["v0"].light == "#1b1e23"


def test_a_deployment_has_the_colour_of_its_head_and_its_own_marker():
    variants = synthetic_study().variants
    looks = styles(variants | {"fp8_tp2": replace(variants["fp8"], deployment_of="fp8")}, "bf16")
    assert looks["fp8_tp2"].light == looks["fp8"].light != looks["int4"].light
    assert looks["fp8_tp2"].marker != looks["fp8"].marker


def test_closed_loops_and_searches_have_a_table_of_their_own(findings):
    assert other_loads_table(findings).rows == ()
    key = next(iter(findings.points))
    run = findings.points[key][0].runs[0]
    found = {"capacity_status": "resolved", "capacity_rps": 12.0, "capacity_rps_low": 11.6, "capacity_rps_high": 12.4}
    result = CapacityResult.from_json(found)
    searched_run = replace(run, result=result)
    more = (
        PointResult(*key, LoadPoint("concurrency", concurrency=8), True, (run,)),
        PointResult(*key, LoadPoint("capacity"), True, (searched_run,)),
    )
    table = other_loads_table(replace(findings, points={**findings.points, key: findings.points[key] + more}))
    loads = [(row[2].text, row[3].text) for row in table.rows]
    assert loads[0] == ("concurrency, 8 in flight", number(run.result.achieved_rps))
    assert loads[1] == ("capacity search", "12.0 [11.5, 12.5]"), "95 %, of the search's own 90 %"
    assert table.rows[1][2].note == "interval within this search"
