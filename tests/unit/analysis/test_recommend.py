"""Which variant to ship: only what is shown safe and shown faster."""

from dataclasses import replace

import pytest

from harness.analysis import analyse
from harness.analysis.decision.recommend import recommend
from harness.analysis.quality.paired import ESTABLISHED, INCONCLUSIVE, REJECTED
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from harness.report.non_inferiority import cautions
from harness.report.recommendation import recommendation
from harness.report.words import items_needed
from tests.unit.report.synthetic_study import synthetic_study

FAST, FASTER, ALIKE = Estimate(1.3, 1.25, 1.35), Estimate(1.6, 1.5, 1.7), Estimate(1.55, 1.4, 1.7)
SAME, ONCE = Estimate(1.02, 0.97, 1.07), Estimate(1.4)
COMPARED = ("fp8", "sparse_fp8", "int4")


@pytest.fixture(scope="module")
def findings():
    return analyse(synthetic_study())


def answered(findings, verdicts: dict[str, str], capacity: dict[str, Estimate], emulated=(), latency=None, **study):
    """The findings with these verdicts on every suite, and these gains."""
    suites = {
        key: replace(r, comparison=replace(r.comparison, verdict=verdicts[key[0]])) if r.comparison else r
        for key, r in findings.suites.items()
    }
    speeds = {name: Speedups((latency or {}).get(name), None, capacity.get(name)) for name in COMPARED}
    of = replace(findings.study, **study)
    found = recommend(of, suites, {}, speeds, emulated)
    return found, recommendation(replace(findings, study=of, recommendation=found, emulated=emulated))


def test_the_fastest_of_the_safe_is_shipped(findings):
    verdicts = {"fp8": ESTABLISHED, "sparse_fp8": REJECTED, "int4": ESTABLISHED}
    found, said = answered(findings, verdicts, {"fp8": FASTER, "sparse_fp8": Estimate(9, 8, 10), "int4": FAST})
    assert (found.ship, found.safe, found.measure) == (("fp8",), ("fp8", "int4"), "capacity")
    assert found.ruled_out == {"sparse_fp8": "mmlu: rejected"}
    assert said == (
        "Ship Dense FP8: it is established as non-inferior to Dense BF16 at a 1 % margin on mmlu, gsm8k and humaneval, "
        "and serves 1.60× [1.50, 1.70] the requests at the SLO."
    )


def test_what_cannot_be_told_apart_is_named_beside_it(findings):
    found, said = answered(
        findings, dict.fromkeys(COMPARED, ESTABLISHED), {"fp8": FASTER, "sparse_fp8": ALIKE, "int4": FAST}
    )
    assert found.ship == ("fp8", "sparse_fp8"), "int4's interval ends below the first one's"
    assert said.endswith("2:4 sparse FP8 (1.55× [1.40, 1.70]) is not told apart from it.")


@pytest.mark.parametrize(("verdict", "word"), [(INCONCLUSIVE, "inconclusive"), (REJECTED, "rejected")])
def test_without_a_safe_variant_none_is_shown(findings, verdict, word):
    found, said = answered(findings, dict.fromkeys(COMPARED, verdict), dict.fromkeys(COMPARED, FASTER))
    assert (found.ship, found.safe, found.measure) == ((), (), None)
    assert (
        said.startswith("No recommendation: no variant is established as non-inferior")
        and f"INT4 W4A16, mmlu: {word}" in said
    )


def test_how_many_items_would_show_it(findings):
    found, said = answered(findings, dict.fromkeys(COMPARED, INCONCLUSIVE), {})
    of_mmlu = max(findings.suites[name, "mmlu"].comparison.items_to_show for name in COMPARED)
    assert found.wanted["mmlu"].items == of_mmlu > findings.suites["fp8", "mmlu"].items
    assert f"An equivalent variant would need {items_needed(found.wanted['mmlu'].span)} items of mmlu" in said
    needs = items_needed(found.wanted["humaneval"].span)
    assert (
        f"humaneval cannot decide at a 1 % margin: an equivalent variant would need {needs} items, and it has 164; "
        in said
    )
    assert "use a larger suite, a larger margin, or fidelity metrics (suite perplexity)." in said
    assert "of humaneval (it has 164)" not in said, "more items than a suite has are no advice"
    assert "would need" not in answered(findings, dict.fromkeys(COMPARED, REJECTED), {})[1], "more items change nothing"


def test_a_suite_at_chance_says_what_would_decide(findings):
    base = findings.suites["bf16", "mmlu"]
    guessing = replace(base, score=Estimate(0.25, 0.23, 0.27), chance=0.25)
    assert guessing.at_chance
    suites = findings.suites | {("bf16", "mmlu"): guessing}
    _, said = answered(replace(findings, suites=suites), dict.fromkeys(COMPARED, ESTABLISHED), {})
    assert said.endswith("mmlu cannot decide: Dense BF16 is at chance; use an easier suite, or fidelity metrics (suite "
                         "perplexity).")  # fmt: skip


@pytest.mark.parametrize(("gain", "word"), [(SAME, "1.02× [0.97, 1.07]"), (ONCE, "1.40× (n = 1, no CI)")])
def test_a_gain_that_is_not_significant_ships_nothing(findings, gain, word):
    verdicts = {"fp8": ESTABLISHED, "sparse_fp8": REJECTED, "int4": REJECTED}
    found, said = answered(findings, verdicts, dict.fromkeys(COMPARED, gain))
    assert found.ship == () and found.safe == ("fp8",)
    assert said.startswith("No recommendation: Dense FP8 is established as non-inferior") and said.endswith(
        f"but no gain in capacity at the SLO is established: Dense FP8 {word}."
    )


def test_one_search_ships_nothing(findings):
    shown = dict.fromkeys(COMPARED, ESTABLISHED)
    suites = {k: replace(r, comparison=replace(r.comparison, verdict=ESTABLISHED)) if r.comparison else r
              for k, r in findings.suites.items()}  # fmt: skip
    once = {name: Speedups(None, None, FASTER, ("chat",), capacity_within_search=True) for name in shown}
    found = recommend(findings.study, suites, {}, once, ())
    assert found.ship == () and found.measure == "capacity"
    said = recommendation(replace(findings, recommendation=found))
    assert "Dense FP8 1.60× [1.50, 1.70] within one search" in said
    twice = once | {"fp8": replace(once["fp8"], capacity_within_search=False)}
    assert recommend(findings.study, suites, {}, twice, ()).ship == ("fp8",)


def test_an_emulated_speed_recommends_nothing(findings):
    verdicts = {"fp8": ESTABLISHED, "sparse_fp8": REJECTED, "int4": REJECTED}
    found, said = answered(findings, verdicts, {"fp8": FASTER}, emulated=("fp8",))
    assert found.ship == () and said.endswith("but the kernels of Dense FP8 are emulated here.")


def test_latency_decides_where_there_is_no_capacity(findings):
    found, said = answered(findings, dict.fromkeys(COMPARED, ESTABLISHED), {}, latency={"fp8": FAST, "int4": SAME})
    assert (found.ship, found.measure) == (("fp8",), "latency") and "answers a single stream 1.30×" in said


def test_a_suite_without_a_comparison_rules_out(findings):
    suites = dict(findings.suites)
    del suites["fp8", "gsm8k"]
    found = recommend(findings.study, suites, {}, findings.speedups, ())
    assert found.ruled_out["fp8"] in ("mmlu: inconclusive", "gsm8k: not measured")
    clean = {k: replace(r, comparison=replace(r.comparison, verdict=ESTABLISHED)) if r.comparison else r
             for k, r in suites.items()}  # fmt: skip
    assert recommend(findings.study, clean, {}, findings.speedups, ()).ruled_out == {"fp8": "gsm8k: not measured"}


def test_without_scored_suites_nothing_is_said_of_accuracy(findings):
    found = recommend(findings.study, {}, {}, findings.speedups, ())
    assert found.ship == found.suites == ()
    assert recommendation(replace(findings, recommendation=found)).startswith("No recommendation: no suite scored")


def test_a_baseline_at_chance_shows_nothing(findings):
    shown = {k: replace(r, comparison=replace(r.comparison, verdict=ESTABLISHED)) if r.comparison else r
             for k, r in findings.suites.items()}  # fmt: skip
    base = shown["bf16", "mmlu"]
    shown["bf16", "mmlu"] = replace(base, score=Estimate(0.26, 0.23, 0.29), chance=0.25)
    found = recommend(findings.study, shown, {}, findings.speedups, ())
    assert found.safe == () and found.ruled_out["fp8"] == "mmlu: the baseline is at chance"
    said = cautions(replace(findings, suites=shown), shown["fp8", "mmlu"])
    assert said[0] == "the baseline is at chance (25 %): two models that guess agree"


def test_more_gpus_are_no_gain(findings):
    variants = dict(findings.study.variants)
    variants["fp8"] = replace(variants["fp8"], gpus=2)
    found, _ = answered(
        findings, dict.fromkeys(COMPARED, ESTABLISHED), {"fp8": FASTER, "int4": FAST}, variants=variants
    )
    assert found.ship == ("int4",) and found.gains["fp8"].value == pytest.approx(0.8)


def test_a_study_that_compares_nothing_has_no_answer(findings):
    alone = replace(findings.study, variants={"bf16": findings.study.variants["bf16"]})
    assert recommend(alone, {}, {}, {}, ()) is None
    assert recommendation(replace(findings, recommendation=None)) is None


def test_other_deployments_have_their_variants_accuracy_and_speeds_of_their_own(findings):
    """The baseline's deployments are no compression: none of them is shipped, however fast."""
    variants = dict(findings.study.variants)
    variants["int4"] = replace(variants["int4"], deployment_of="fp8", accuracy_of="fp8", label="Dense FP8, TP 2")
    variants["sparse_fp8"] = replace(variants["sparse_fp8"], deployment_of="bf16", accuracy_of="bf16")
    gains = {"fp8": FAST, "int4": FASTER, "sparse_fp8": Estimate(9, 8, 10)}
    shown = dict.fromkeys(COMPARED, ESTABLISHED)
    found, said = answered(findings, shown, gains, variants=variants)
    assert (found.ship, found.safe, found.ruled_out) == (("int4",), ("fp8",), {})
    assert said.startswith("Ship Dense FP8, TP 2: it is established as non-inferior")
    found, said = answered(findings, dict.fromkeys(COMPARED, INCONCLUSIVE), gains, variants=variants)
    assert found.ship == () and list(found.ruled_out) == ["fp8"], "the reason is said once"
