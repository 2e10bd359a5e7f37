"""What a study without accuracy suites answers: the rate at the SLO, with bounds."""

from dataclasses import replace

import pytest

from harness.analysis.speed.capacity import gain
from harness.analysis.speed.readings import AT_LEAST, BELOW, UNRESOLVED, Reading
from harness.report.recommendation import recommendation
from harness.report.sections import SECTIONS, fill
from harness.report.tables.overview import variants_table
from harness.report.tables.slo import slo_table
from harness.report.verdicts import verdicts
from harness.report.words import NONE
from tests.unit.report.synthetic_study import synthetic_findings

OLD, NEW = "bf16", "fp8"
SLO = {"itl_ms_p99": 50.0, "ttft_ms_p99": 1000.0}


@pytest.fixture(scope="module")
def measured():
    return synthetic_findings()


def answered(measured, base: Reading, own: Reading):
    """The findings of a study of two variants and one scenario, without suites."""
    study = measured.study
    [scenario, *_] = study.scenarios
    variants = {name: study.variants[name] for name in (OLD, NEW)}
    scenarios = {scenario: replace(study.scenarios[scenario], slo=SLO)}
    study = replace(study, suites=(), variants=variants, scenarios=scenarios)
    found = {(OLD, scenario): base, (NEW, scenario): own}
    return replace(measured, study=study, emulated=(), capacities=found, gains={(NEW, scenario): gain(base, own)})


def searched(low: float | None, high: float | None) -> Reading:
    return Reading(None, UNRESOLVED, low=low, high=high)


def test_unresolved_searches_answer_the_question(measured):
    findings = answered(measured, searched(27.8, 38.2), searched(82.4, 190.9))
    said = recommendation(findings)
    assert "serves at least 2.16× (82.4 to 191/s) the requests of" in said
    assert "(27.8 to 38.2/s) at p99 ITL ≤ 50 ms and p99 TTFT ≤ 1000 ms. Accuracy was not measured." in said


def test_a_bound_on_one_side_and_a_range_are_said_as_such(measured):
    beyond = answered(measured, searched(27.8, 38.2), Reading(100.0, AT_LEAST, low=100.0))
    assert "serves at least 2.62× (≥ 100/s)" in recommendation(beyond)
    slower = answered(measured, searched(82.4, 190.9), Reading(None, BELOW, high=38.2))
    assert "serves at most 0.46×" in recommendation(slower)
    alike = answered(measured, searched(30.0, 40.0), searched(32.0, 45.0))
    assert "serves 0.80× to 1.50×" in recommendation(alike)


def test_the_first_section_holds_the_slo_and_each_rate(measured):
    findings = answered(measured, searched(27.8, 38.2), searched(82.4, None))
    rows = slo_table(findings).rows
    assert [[td.text for td in row[2:4]] for row in rows] == [
        ["27.8 to 38.2", "baseline"],
        ["≥ 82.4", "at least 2.16×"],
    ]
    assert rows[0][0].text.endswith(": p99 ITL ≤ 50 ms and p99 TTFT ≤ 1000 ms")
    [verdict] = fill(findings, tuple(section for section in SECTIONS if section.id == "verdict"))
    assert verdict.id == "verdict" and slo_table(findings) in [block.table for block in verdict.blocks[1:]]
    assert "at least 2.16× the requests" in verdicts(findings)[0].headline


def test_a_baseline_without_suites_recovers_nothing(measured):
    findings = answered(measured, searched(27.8, 38.2), searched(82.4, 190.9))
    table = variants_table(replace(findings, averages={}))
    [column] = [number for number, head in enumerate(table.columns) if "recovery" in head]
    assert table.rows[0][column].text == NONE


def test_the_answer_says_what_to_deploy_on_speed(measured):
    faster = answered(measured, searched(27.8, 38.2), searched(82.4, 190.9))
    assert recommendation(faster).startswith("On speed, deploy ")
    slower = answered(measured, searched(82.4, 190.9), searched(27.8, 38.2))
    assert recommendation(slower).startswith(f"On speed, keep {slower.study.label(OLD)}: ")
    alike = answered(measured, searched(30.0, 40.0), searched(32.0, 45.0))
    assert recommendation(alike).startswith("On speed, no difference is established: ")


def replayed(repeats: int):
    """The findings of a study of two variants without suites and SLOs."""
    from harness.analysis import analyse
    from tests.unit.report.synthetic_records import VARIANTS
    from tests.unit.report.synthetic_study import SCENARIOS, build, parts

    chat = {"chat_512_256": SCENARIOS["chat_512_256"]}
    variants = {name: VARIANTS[name] for name in (OLD, NEW)}
    manifest, records, rows = parts(variants, rates=[2.0], repeats=repeats, scenarios=chat)
    keys = {cell["key"] for cell in manifest["cells"] if cell["kind"] == "load"}
    manifest["cells"] = [cell for cell in manifest["cells"] if cell["key"] in keys]
    study = build(manifest, [one for one in records if one["cell"]["key"] in keys], rows)
    scenarios = {name: replace(facts, slo={}) for name, facts in study.scenarios.items()}
    return replace(analyse(replace(study, suites=(), scenarios=scenarios)), emulated=())


def test_traffic_without_an_slo_is_answered_by_its_latencies():
    findings = replayed(repeats=1)
    base, own = (findings.study.label(name) for name in (OLD, NEW))
    said = recommendation(findings)
    assert said.startswith(f"On speed, {own} looks better; load.repeats=3 gives an interval: {own} answers ")
    assert f"× as fast as {base} in chat_512_256, " in said and " (E2E p50 " in said
    assert "; TTFT " in said and "; ITL " in said and "; n = 1, no CI). " in said
    assert f"{base} completed 64 of 64 requests, {own} 64 of 64." in said
    assert said.endswith("Accuracy was not measured.")


def test_repeats_give_the_latency_answer_an_interval():
    said = recommendation(replayed(repeats=3))
    assert said.startswith("On speed, deploy ") and "n = 1" not in said and "× [" in said
