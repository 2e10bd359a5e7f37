"""Two variants as a pair: ratios and their intervals, what gates make of an interval."""

from dataclasses import replace

import pytest

from harness.analysis.comparison import Side, compare_sides
from harness.analysis.decision.gate_rule import status_of
from harness.analysis.decision.gates import FAILED, INCONCLUSIVE, PASSED, Gates, checks
from harness.analysis.start_values import start_values
from harness.analysis.statistics.intervals import Estimate
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import build, parts, synthetic_study

OPTIONS = {"variants": {name: VARIANTS[name] for name in ("bf16", "fp8")}, "scenarios": {"chat_512_256": (512, 256)}}


def pair(a="bf16", b="fp8", **options):
    study = synthetic_study(**OPTIONS | options)
    return compare_sides(Side(study, a, a), Side(study, b, b))


def change(comparison, load, metric):
    [found] = [c for c in comparison.changes if (c.load, c.metric) == (load, metric)]
    return found


@pytest.mark.parametrize(
    ("estimate", "lower", "higher"),
    [
        (Estimate(1.0, 0.9, 1.04), PASSED, FAILED),
        (Estimate(1.04, 1.0, 1.1), INCONCLUSIVE, FAILED),
        (Estimate(1.2, 1.1, 1.3), FAILED, PASSED),
        (Estimate(1.2, 1.1, None), FAILED, PASSED),
        (Estimate(0.9, None, 1.0), PASSED, FAILED),
    ],
)
def test_a_limit_of_105_against_a_change_that_is_shown(estimate, lower, higher):
    """`adjusted` 0.01: there is a change for the worse, whichever side that is."""
    assert status_of(estimate, 1.05, True, 0.01) == lower
    assert status_of(estimate, 1.05, False, 0.01) == higher


@pytest.mark.parametrize(
    ("estimate", "lower", "higher"),
    [
        (Estimate(1.0, 0.9, 1.04), PASSED, INCONCLUSIVE),
        (Estimate(1.04, 1.0, 1.1), INCONCLUSIVE, INCONCLUSIVE),
        (Estimate(1.2, 0.9, 1.5), INCONCLUSIVE, INCONCLUSIVE),
        (Estimate(1.2, None, 1.3), INCONCLUSIVE, INCONCLUSIVE),
    ],
)
def test_a_limit_of_105_against_a_change_that_may_be_chance(estimate, lower, higher):
    assert status_of(estimate, 1.05, True, 0.2) == lower
    assert status_of(estimate, 1.05, False, 0.2) == higher


@pytest.mark.parametrize("value", [1.04, 1.06])
def test_without_an_interval_nothing_fails_and_nothing_passes(value):
    assert status_of(Estimate(value), 1.05, True, None) == status_of(Estimate(value), 1.05, False, None) == INCONCLUSIVE


def made(comparison, **gates):
    return checks(comparison, Gates(**gates), start_values([comparison], [comparison]))


def test_accuracy_and_speed_ups_are_the_report_s_own():
    """The pair is a study like any other: the baseline's variant has the numbers that the report gives it."""
    from harness.analysis import analyse

    study, comparison = synthetic_study(**OPTIONS), pair()
    report = analyse(study)
    assert (
        comparison.findings.suites["B", "mmlu"].comparison.recovery == report.suites["fp8", "mmlu"].comparison.recovery
    )
    assert comparison.findings.capacities["B", "chat_512_256"] == report.capacities["fp8", "chat_512_256"]


def test_the_other_way_around_is_the_inverse():
    there, back = pair(repeats=3), pair("fp8", "bf16", repeats=3)
    for load in ("throughput", "server 1/s"):
        one, two = (change(c, load, "itl_ms_p99").ratio for c in (there, back))
        assert one.value == pytest.approx(1 / two.value)
        assert (one.low, one.high) == pytest.approx((1 / two.high, 1 / two.low))


def test_one_run_has_no_interval_and_repeats_have():
    for load in ("single_stream", "throughput", "server 1/s"):
        assert not change(pair(), load, "itl_ms_p50").ratio.bounded
    single = change(pair(repeats=3), "single_stream", "itl_ms_p50").ratio
    assert single.low < single.value < single.high < 1, "fp8 is faster"
    assert single.value == pytest.approx(1 / 1.31, rel=0.03)


def test_report_and_compare_give_one_number_for_the_same_records():
    from harness.analysis import analyse

    options = OPTIONS | {"repeats": 3}
    of_report = analyse(synthetic_study(**options)).against["fp8", "chat_512_256"]
    comparison = pair(**options)
    single = change(comparison, "single_stream", "e2e_ms_p50").ratio
    faster = of_report.speedups["e2e_ms_p50"]
    assert (1 / single.value, 1 / single.high, 1 / single.low) == pytest.approx((faster.value, faster.low, faster.high))
    assert change(comparison, "throughput", "output_tok_per_s").ratio == of_report.throughput
    assert comparison.findings.latency["B"] == faster


def test_a_rate_that_b_no_longer_reaches_is_lost():
    comparison = pair("fp8", "bf16", rates=[1.0, 6.0])
    found = change(comparison, "server 6/s", "itl_ms_p50")
    assert found.ratio is None and found.lost and "which A kept up with" in found.reason
    assert any(check.failed() for check in made(comparison, max_itl_regression={"p50": 9.0}))
    assert not change(pair(rates=[1.0, 6.0]), "server 6/s", "itl_ms_p50").lost, "no reference in A"


def test_a_scenario_with_another_slo_has_no_capacity_ratio():
    manifest, records, rows = parts(**OPTIONS)
    one = build(manifest, records, rows)
    strict = replace(one.scenarios["chat_512_256"], slo={"itl_ms_p99": 20.0})
    other = replace(one, scenarios={"chat_512_256": strict})
    comparison = compare_sides(Side(one, "fp8", "a"), Side(other, "fp8", "b"))
    assert "scenario chat_512_256: the SLO differs, so the capacities are not compared" in comparison.not_compared
    [check] = made(comparison, min_capacity_ratio=0.5)
    assert check.failed()


def test_differences_name_what_was_fingerprinted_and_leave_out_what_is_alike():
    manifest, records, rows = parts(**OPTIONS)
    for record in records:
        name = record["cell"]["variant"]
        record["inputs"] |= {
            "engine": {"env": {"VLLM_X": name}, "dtype": "bfloat16"},
            "variant": name,
            "point": {"a": name},
        }
    study = build(manifest, records, rows)
    found = {d.what: (d.a, d.b) for d in compare_sides(Side(study, "bf16", "a"), Side(study, "fp8", "b")).differences}
    assert found["engine env VLLM_X"] == ("bf16", "fp8")
    assert found["scheme weights"] == ("bf16", "fp8, per channel")
    assert found["kernels"][1].endswith("(emulated)")
    assert not {"engine", "engine dtype", "variant", "point a", "seed"} & found.keys()
