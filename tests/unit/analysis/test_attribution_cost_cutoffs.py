"""The attribution ladder, deployments at equal GPUs, and cost: on the synthetic study, whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis import analyse
from harness.analysis.comparison import Side, compare_sides
from harness.analysis.settings import Settings, Step
from harness.analysis.speed.attribution import TOGETHER, cumulative, steps
from harness.analysis.speed.cost import tokens_a_request
from harness.analysis.speed.cutoffs import cutoffs, deployed, envelope, families
from harness.analysis.speed.performance import ladder
from harness.analysis.speed.readings import AT_LEAST, NOT_REACHED, Reading, latency_at_rate, rate_within
from tests.unit.report.synthetic_records import CAPACITY, SPEED
from tests.unit.report.synthetic_study import build, parts, rich_findings, synthetic_findings, synthetic_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rich():
    return rich_findings()


def test_the_steps_multiply_to_the_whole(rich):
    first, second, whole = rich.rungs
    assert (first.adds, second.adds, whole.adds) == ("quantization", "sparsity", TOGETHER)
    for part in ("latency", "throughput", "capacity"):
        product = getattr(first.speedups, part).value * getattr(second.speedups, part).value
        assert getattr(whole.speedups, part).value == pytest.approx(product, rel=1e-9), part


def test_each_step_has_the_interval_of_its_own_comparison(rich):
    sparsity = rich.rungs[1].speedups.latency
    assert sparsity.low <= SPEED["sparse_fp8"] / SPEED["fp8"] <= sparsity.high
    assert rich.rungs[1].recovery.recovery.value < 1.0


def test_the_ladder_figure_starts_at_one_and_ends_at_the_whole(rich):
    found = cumulative(rich.rungs, None)
    assert [name for name, _ in found] == ["bf16", "fp8", "sparse_fp8"]
    assert found[0][1].value == 1.0
    assert found[-1][1].value == pytest.approx(rich.rungs[-1].speedups.latency.value)


def test_steps_are_told_from_the_schemes_where_the_sweep_names_none():
    study = synthetic_study()
    assert [step.variant for step in steps(study)] == ["bf16", "fp8", "sparse_fp8"]
    assert [rung.adds for rung in analyse(study).rungs] == ["quantization", "sparsity", TOGETHER]
    only = replace(study, settings=Settings(attribution=(Step("bf16"), Step("left_out"))))
    assert steps(only) == (), "a variant that the command line left out makes no ladder"


def test_a_step_to_a_deployment_has_the_scores_of_the_variant_that_stands_for_it():
    """And so has a side of harness.compare."""
    study = synthetic_study()
    variants = study.variants | {"int4": replace(study.variants["int4"], deployment_of="fp8", accuracy_of="fp8")}
    measured = tuple(m for m in study.measured if m.cell.variant != "int4" or not m.cell.suite)
    settings = replace(study.settings, attribution=(Step("bf16", None), Step("int4", None)))
    served = replace(study, variants=variants, measured=measured, settings=settings)
    (rung,) = analyse(served).rungs
    averages = analyse(study).averages
    assert rung.recovery.recovery.value == averages["fp8"].recovery.value != averages["int4"].recovery.value
    found = compare_sides(Side(served, "bf16", "results/S"), Side(served, "int4", "results/S"))
    assert found.findings.averages["B"].recovery.value == averages["fp8"].recovery.value


def test_deployments_form_a_family(rich):
    assert families(rich.study)["bf16"] == ("bf16", "bf16_tp2") and deployed(rich.study)
    assert not deployed(synthetic_study())


def test_the_envelope_is_the_best_deployment_at_equal_gpus(rich):
    found = rich.envelopes["rag_1024_128", "itl_ms_p99"]
    assert found.gpus == 2
    for (family, limit), best in found.best.items():
        if best.rate.value is None:
            continue
        for name in found.families[family]:
            replicas = 2 // rich.study.variants[name].gpus
            own = rate_within(ladder(rich.points[name, "rag_1024_128"]), {"itl_ms_p99": limit}).value
            assert own is None or best.rate.value >= own * replicas - 1e-9
    fast, loose = found.cutoffs_ms[0], found.cutoffs_ms[-1]
    assert found.best["sparse_fp8", fast].deployment == "sparse_fp8_tp2", "two GPUs together reach lower latencies"
    assert found.best["sparse_fp8", loose].deployment == "sparse_fp8", "two replicas serve more"


def test_the_envelope_is_the_lowest_latency_at_each_rate(rich):
    found = rich.envelopes["rag_1024_128", "itl_ms_p99"]
    offered = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0}
    assert set(found.rates_rps) <= offered | {2 * rate for rate in offered}
    assert found.rates_rps[0] == 1.0 and found.rates_rps[-1] == 20.0, "two replicas of one GPU are offered 20/s"
    low, beyond = found.rates_rps[0], found.rates_rps[-1]
    assert found.fastest["sparse_fp8", 2.0 if 2.0 in found.rates_rps else low].deployment == "sparse_fp8_tp2"
    assert found.fastest["bf16", beyond].latency.status == NOT_REACHED
    for (family, rate), best in found.fastest.items():
        for name in found.families[family]:
            own = ladder(rich.points[name, "rag_1024_128"])
            value = latency_at_rate(own, "itl_ms_p99", rate / found.replicas[name]).value
            assert value is None or best.latency.value <= value


def test_a_deployment_that_was_not_measured_at_a_rate_is_named(rich):
    found = rich.envelopes["rag_1024_128", "itl_ms_p99"]
    low = found.fastest["sparse_fp8", 1.0]
    assert (low.deployment, low.replicas, low.unread) == ("sparse_fp8_tp2", 1, ("sparse_fp8",)), "half of 1/s was not"


def test_an_envelope_is_a_bound_where_a_deployment_is(rich):
    found = rich.envelopes["chat_512_256", "itl_ms_p99"]
    loose = found.best["sparse_fp8", found.cutoffs_ms[-1]]
    assert loose.rate.status == AT_LEAST


def test_gpus_that_do_not_divide_leave_a_deployment_out(rich):
    variants = rich.study.variants | {"bf16_tp2": replace(rich.study.variants["bf16_tp2"], gpus=3)}
    found = envelope(replace(rich.study, variants=variants), rich.points, "chat_512_256", "itl_ms_p99")
    assert found.gpus == 3
    assert {best.deployment for (family, _), best in found.best.items() if family == "sparse_fp8"} <= {
        "sparse_fp8",
        None,
    }


def test_cutoffs_are_the_sweeps_or_round_latencies_that_were_seen_and_the_slo(rich):
    own = cutoffs(rich.study, rich.points, "chat_512_256", "itl_ms_p99")
    assert 50.0 in own and len(own) <= 7 and list(own) == sorted(own)
    asked = replace(rich.study, settings=Settings(cutoffs_ms={"itl_ms_p99": (12.0, 34.0)}))
    assert cutoffs(asked, rich.points, "chat_512_256", "itl_ms_p99") == (12.0, 34.0, 50.0)


def test_cost_is_the_price_over_the_tokens_of_an_hour_at_the_slo(rich):
    cost, rate = rich.costs["bf16", "chat_512_256"], rich.capacities["bf16", "chat_512_256"].value
    assert tokens_a_request(rich.study, rich.points["bf16", "chat_512_256"], "chat_512_256")[1] == pytest.approx(256)
    assert cost.tokens_per_unit.value == pytest.approx(rate * 256 * 3600 / 2.5)
    assert cost.per_million_output.value == pytest.approx(1e6 / cost.tokens_per_unit.value)
    assert cost.per_million_output.low == pytest.approx(1e6 / cost.tokens_per_unit.high)


def test_two_gpus_cost_twice(rich):
    one, two = rich.costs["bf16", "chat_512_256"], rich.costs["bf16_tp2", "chat_512_256"]
    rates = [rich.capacities[name, "chat_512_256"].value for name in ("bf16", "bf16_tp2")]
    assert two.tokens_per_unit.value / one.tokens_per_unit.value == pytest.approx(rates[1] / rates[0] / 2)
    front = next(front for front in rich.fronts if front.name == "cost")
    assert front.points["bf16_tp2"][0].value < 1 < CAPACITY["bf16_tp2"] / CAPACITY["bf16"]


def test_no_price_no_cost():
    found = synthetic_findings()
    assert found.costs == {} and "cost" not in [front.name for front in found.fronts]


def test_means_of_capacities_are_over_the_same_scenarios_for_every_variant():
    manifest, records, rows = parts()
    found = analyse(build(manifest, records, rows))
    shared = {mean.capacity_scenarios for mean in found.speedups.values() if mean.capacity}
    assert len(shared) <= 1
    unknown = replace(found, capacities={key: Reading(None, "not measured") for key in found.capacities})
    assert all(reading.value is None for reading in unknown.capacities.values())
    assert np.isfinite([mean.latency.value for mean in found.speedups.values()]).all()
