"""Which variant to ship: only what is established as acceptable and as better; else what is lacking, or why none is."""

from dataclasses import replace

import pytest

from harness.analysis.decision.needs import FIRST_REPEATS
from harness.analysis.decision.recommend import NONE, RUN_MORE, SHIP, recommend
from harness.analysis.quality.paired import ESTABLISHED, INCONCLUSIVE, REJECTED
from harness.analysis.quality.texts import TextDistance, TextGap
from harness.analysis.settings import DecisionSettings, Fidelity
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from harness.report.non_inferiority import cautions
from harness.report.recommendation import EXPECTED, conclusion
from harness.report.words import items_needed
from tests.unit.report.synthetic_study import synthetic_findings

FAST, FASTER, ALIKE = Estimate(1.3, 1.25, 1.35), Estimate(1.6, 1.5, 1.7), Estimate(1.55, 1.4, 1.7)
SAME, ONCE = Estimate(1.02, 0.97, 1.07), Estimate(1.4)
COMPARED = ("fp8", "sparse_fp8", "int4")
RECOVERY = {
    ESTABLISHED: Estimate(1.0, 0.996, 1.004),
    INCONCLUSIVE: Estimate(0.995, 0.96, 1.03),
    REJECTED: Estimate(0.9, 0.88, 0.92),
}
MANY = {"latency": 30, "throughput": 30, "capacity": 30}
NEAR = Estimate(0.01, 0.009, 0.011)
ALL = dict.fromkeys(COMPARED, ESTABLISHED)


@pytest.fixture(scope="module")
def findings():
    return synthetic_findings()


def verdict_of(result, verdict: str):
    """The result with this verdict, and a recovery that has it at a margin of 1 %."""
    comparison = result.comparison
    return replace(result, comparison=comparison and replace(comparison, verdict=verdict, recovery=RECOVERY[verdict]))


def with_verdicts(findings, verdicts: dict[str, str]) -> dict:
    return {key: verdict_of(r, verdicts[key[0]]) if r.comparison else r for key, r in findings.suites.items()}


def answered(
    findings, verdicts, capacity=None, emulated=(), latency=None, texts=None, repeats=MANY, suites=None, **study
):
    """The recommendation and its words, with these verdicts on every suite, and these gains."""
    speeds = {
        name: Speedups((latency or {}).get(name), None, (capacity or {}).get(name), repeats=repeats)
        for name in COMPARED
    }
    of = replace(findings.study, **study)
    chosen = with_verdicts(findings, verdicts) if suites is None else suites
    found = recommend(of, chosen, {}, speeds, emulated, texts or {})
    return found, conclusion(replace(findings, study=of, recommendation=found, emulated=emulated, suites=chosen))


def text_of(variant: str, ratio: Estimate, kl: Estimate = NEAR, windows: int = 40):
    """A variant's distance on a text of 140 windows."""
    gap = TextGap(kl, 0.97, Estimate(0.95), ratio, Estimate(0.1))
    return {(variant, "perplexity"): TextDistance(variant, "perplexity", None, 9000, windows, 140, "", gap, None, None)}


def by_fidelity(objective=("latency",), suites=(), **limits) -> DecisionSettings:
    return DecisionSettings(suites=suites, fidelity=Fidelity(**limits), objective=objective)


def test_the_fastest_of_the_acceptable_is_shipped(findings):
    verdicts = {"fp8": ESTABLISHED, "sparse_fp8": REJECTED, "int4": ESTABLISHED}
    found, said = answered(findings, verdicts, {"fp8": FASTER, "sparse_fp8": Estimate(9, 8, 10), "int4": FAST})
    assert (found.outcome, found.ship, found.acceptable) == (SHIP, ("fp8",), ("fp8", "int4"))
    assert (found.objective, found.candidates["sparse_fp8"].status) == ("capacity", REJECTED)
    assert said.headline == (
        "Ship Dense FP8: it serves 1.60× [1.50, 1.70] the requests of Dense BF16 at the SLO and keeps its accuracy "
        "within 1 %."
    )
    assert said.evidence[0] == "Required: non-inferior to Dense BF16 at a 1 % margin on mmlu, gsm8k and humaneval."
    assert any(
        sentence.startswith("2:4 sparse FP8: recovery 90.0 % [88.0, 92.0] on mmlu") for sentence in said.evidence
    )
    assert said.command is None, "nothing is lacking"


def test_what_cannot_be_told_apart_is_named_beside_it(findings):
    found, said = answered(findings, ALL, {"fp8": FASTER, "sparse_fp8": ALIKE, "int4": FAST})
    assert found.ship == ("fp8", "sparse_fp8"), "int4's interval ends below the first one's"
    assert said.headline.endswith("The difference from 2:4 sparse FP8 (1.55× [1.40, 1.70]) is not established.")


def test_without_an_acceptable_variant_none_qualifies(findings):
    found, said = answered(findings, dict.fromkeys(COMPARED, REJECTED), dict.fromkeys(COMPARED, FASTER))
    assert (found.outcome, found.ship, found.acceptable, found.needs) == (NONE, (), (), ())
    assert said.headline == "No variant qualifies: Dense FP8, 2:4 sparse FP8 and INT4 W4A16 exceed the limits."
    assert sum("mmlu, rejected" in sentence for sentence in said.evidence) == 3, "what rejected each"
    assert said.command is None, "more items change nothing"


def test_a_rehearsal_in_which_none_qualifies_says_that_this_is_expected(findings, monkeypatch):
    monkeypatch.setattr("harness.report.recommendation.simulated", lambda study: True)
    _, said = answered(findings, dict.fromkeys(COMPARED, REJECTED), dict.fromkeys(COMPARED, FASTER))
    assert said.headline.startswith("SIMULATED: No variant qualifies") and said.headline.endswith(EXPECTED)


def test_a_variant_that_looks_good_names_the_items_that_are_lacking(findings):
    verdicts = {"fp8": INCONCLUSIVE, "sparse_fp8": REJECTED, "int4": REJECTED}
    decision = DecisionSettings(suites=("mmlu",))
    found, said = answered(findings, verdicts, {"fp8": FASTER}, decision=decision)
    assert (found.outcome, found.promising, found.ship) == (RUN_MORE, "fp8", ())
    (need,) = found.needs
    equal = findings.suites["fp8", "mmlu"].comparison.items_to_show
    assert equal < need.needed <= 1.5 * equal, "corrected for three variants"
    assert said.headline == (
        "Dense FP8 looks good: it serves 1.60× [1.50, 1.70] the requests of Dense BF16 at the SLO. "
        f"But the evidence is insufficient: measure {need.needed:,} items of mmlu."
    )
    assert said.command == f"{findings.study.command} suites.mmlu.items={need.needed}"


def test_a_repeated_setting_replaces_the_earlier_one(findings):
    verdicts = {"fp8": INCONCLUSIVE, "sparse_fp8": REJECTED, "int4": REJECTED}
    command = "python -m harness +sweep=s suites.mmlu.items=570 fresh=true 'data.root=a b'"
    found, said = answered(
        findings, verdicts, {"fp8": FASTER}, decision=DecisionSettings(suites=("mmlu",)), command=command
    )
    assert said.command == f"python -m harness +sweep=s 'data.root=a b' {found.needs[0].setting}"


def test_a_suite_with_too_few_items_says_what_would_decide(findings):
    found, said = answered(findings, dict.fromkeys(COMPARED, INCONCLUSIVE), {"fp8": FASTER})
    need = next(need for need in found.needs if need.subject == "humaneval")
    assert need.needed > 164 and need.setting is None
    told = next(sentence for sentence in said.evidence if sentence.startswith("humaneval cannot decide"))
    assert f"would need {items_needed(need.span)} items, and it has 164" in told
    assert f"Set decision.margin={need.margin:g}, use a larger suite, or set decision.fidelity" in told
    assert said.command is None, "the other items alone would decide nothing"
    assert said.headline.endswith("But the evidence is insufficient, and humaneval cannot decide.")


def test_a_suite_at_chance_says_what_would_decide(findings):
    base = findings.suites["bf16", "mmlu"]
    guessing = replace(base, score=Estimate(0.25, 0.23, 0.27), chance=0.25)
    assert guessing.at_chance
    suites = with_verdicts(findings, ALL) | {("bf16", "mmlu"): guessing}
    found, said = answered(findings, ALL, {"fp8": FASTER}, suites=suites)
    assert found.acceptable == () and found.candidates["fp8"].criteria[0].reason == "the baseline is at chance"
    assert said.evidence[-1].startswith("mmlu cannot decide: Dense BF16 is at chance. Use an easier suite")
    told = cautions(replace(findings, suites=suites), suites["fp8", "mmlu"])
    assert told[0] == "the baseline is at chance (25 %): two models that guess agree"


def test_a_gain_within_its_error_needs_repeats(findings):
    verdicts = {"fp8": ESTABLISHED, "sparse_fp8": REJECTED, "int4": REJECTED}
    found, said = answered(findings, verdicts, {"fp8": ONCE}, repeats={})
    assert (found.outcome, found.promising, found.acceptable) == (RUN_MORE, "fp8", ("fp8",))
    assert said.headline == (
        "Dense FP8 looks good: it serves 1.40× (n = 1, no CI) the requests of Dense BF16 at the SLO. But the evidence "
        f"is insufficient: measure {FIRST_REPEATS} repeats."
    )
    assert said.command.endswith("load.repeats=3")
    found, _ = answered(findings, verdicts, {"fp8": Estimate(1.1, 0.98, 1.23)}, repeats={"capacity": 3})
    (need,) = found.needs
    assert need.measured == 3 < need.needed and need.setting == f"load.repeats={need.needed}"


def test_a_gain_below_one_ships_nothing(findings):
    verdicts = {"fp8": ESTABLISHED, "sparse_fp8": REJECTED, "int4": REJECTED}
    found, said = answered(findings, verdicts, dict.fromkeys(COMPARED, Estimate(0.98, 0.93, 1.03)))
    assert (found.outcome, found.acceptable) == (NONE, ("fp8",))
    assert said.headline == (
        "No variant qualifies: Dense FP8 keeps its accuracy within 1 %, but no gain in capacity is established."
    )


def test_one_search_ships_nothing(findings):
    suites = with_verdicts(findings, ALL)
    once = {
        name: Speedups(None, None, FASTER, ("chat",), capacity_within_search=True, repeats={"capacity": 1})
        for name in COMPARED
    }
    found = recommend(findings.study, suites, {}, once, (), {})
    assert (found.outcome, found.objective) == (RUN_MORE, "capacity")
    said = conclusion(replace(findings, recommendation=found, suites=suites))
    assert "1.60× [1.50, 1.70] within one search" in said.headline and "measure 3 repeats" in said.headline
    twice = once | {"fp8": replace(once["fp8"], capacity_within_search=False, repeats=MANY)}
    assert recommend(findings.study, suites, {}, twice, (), {}).ship == ("fp8",)


def test_an_emulated_speed_recommends_nothing_and_a_size_does(findings):
    verdicts = {"fp8": ESTABLISHED, "sparse_fp8": REJECTED, "int4": REJECTED}
    found, said = answered(findings, verdicts, {"fp8": FASTER}, emulated=("fp8",))
    assert found.ship == () and said.headline.endswith("but the kernels of Dense FP8 are emulated here.")
    both = DecisionSettings(objective=("capacity", "size"))
    found, said = answered(findings, verdicts, {"fp8": FASTER}, emulated=("fp8",), decision=both)
    assert (found.ship, found.objective) == (("fp8",), "size")
    assert said.headline.startswith("Ship Dense FP8: it is 1.65× smaller than Dense BF16"), "269 and 163 MB, exactly"
    assert "Its kernels are emulated here: its speed is not known." in said.evidence


def test_the_first_objective_that_improves_decides(findings):
    found, said = answered(findings, ALL, latency={"fp8": FAST, "int4": SAME})
    assert (found.ship, found.objective) == (("fp8",), "latency")
    assert "answers a single stream 1.30× [1.25, 1.35] as fast as Dense BF16" in said.headline
    sized = DecisionSettings(objective=("latency", "size"))
    found, said = answered(findings, ALL, latency={"fp8": SAME, "int4": Estimate(0.6, 0.5, 0.7)}, decision=sized)
    assert (found.ship, found.objective) == (("int4",), "size"), "the smallest; no latency is established as better"
    assert any("No gain in latency is established." in sentence for sentence in said.evidence)
    assert "It is slower: 0.60× [0.50, 0.70] the single-stream speed." in told(findings, found, said, sized)


def told(findings, found, said, decision):
    """The evidence with the latencies that the findings of the fixture lack."""
    slow = {"int4": Speedups(Estimate(0.6, 0.5, 0.7), None, None)}
    study = replace(findings.study, decision=decision)
    return conclusion(replace(findings, study=study, recommendation=found, speedups=slow, emulated=())).evidence


def test_fidelity_alone_decides_where_the_sweep_says_so(findings):
    """Item suites are inconclusive; perplexity ratios are not."""
    texts = text_of("fp8", Estimate(1.022, 1.012, 1.032)) | text_of("int4", Estimate(1.09, 1.07, 1.11))
    texts |= text_of("sparse_fp8", Estimate(1.045, 1.03, 1.06))
    unsure = dict.fromkeys(COMPARED, INCONCLUSIVE)
    decision = by_fidelity(perplexity_ratio=1.05)
    found, said = answered(findings, unsure, latency={"fp8": FAST}, texts=texts, decision=decision)
    assert (found.outcome, found.ship, found.suites) == (SHIP, ("fp8",), ())
    assert {name: c.status for name, c in found.candidates.items()} == {
        "fp8": ESTABLISHED, "sparse_fp8": INCONCLUSIVE, "int4": REJECTED}  # fmt: skip
    assert said.headline.endswith("as fast as Dense BF16 and keeps its fidelity within the limits.")
    assert said.evidence[0] == "Required: perplexity ratio below 1.05. Fidelity alone decides: no suite does."
    assert "Dense FP8: perplexity ratio 1.022 [1.012, 1.032] on perplexity, established." in said.evidence
    assert answered(findings, unsure, latency={"fp8": FAST}, texts=texts)[0].ship == (), "only where the sweep says so"
    both = by_fidelity(suites=None, perplexity_ratio=1.05)
    found, _ = answered(findings, unsure, latency={"fp8": FAST}, texts=texts, decision=both)
    assert found.ship == () and len(found.candidates["fp8"].criteria) == 4, "every criterion is required"


def test_the_upper_end_of_the_kl_must_be_below_its_limit(findings):
    near = text_of("fp8", Estimate(1.0, 0.99, 1.01), kl=Estimate(0.045, 0.04, 0.055))
    found, said = answered(
        findings, ALL, latency={"fp8": FAST}, texts=near, decision=by_fidelity(kl_nats=0.05, perplexity_ratio=1.02)
    )
    assert (found.outcome, found.promising) == (RUN_MORE, "fp8")
    (need,) = found.needs
    assert need.unit == "windows" and need.needed > 40 and said.command is None, "the text has 140 windows"
    assert found.candidates["int4"].status == "not measured"
    assert any("KL 0.0450 [0.0400, 0.0550] nats a token on perplexity, a lower bound that sees 97 %" in sentence
               for sentence in said.evidence)  # fmt: skip


def test_acceptance_is_corrected_for_the_number_of_variants(findings):
    """One-sided p of 0.02 each: established alone, not among three (Holm: 0.06)."""
    high = 1.05 * 0.9985
    texts = {}
    for name in COMPARED:
        texts |= text_of(name, Estimate(1.02, 0.992, high), windows=2000)
    found, said = answered(
        findings, ALL, latency={"fp8": FAST}, texts=texts, decision=by_fidelity(perplexity_ratio=1.05)
    )
    assert {c.criteria[0].status for c in found.candidates.values()} == {ESTABLISHED}
    assert found.acceptable == () and found.promising == "fp8"
    assert any("not established when corrected for 3 variants (Holm)" in sentence for sentence in said.evidence)
    alone = {"bf16": findings.study.variants["bf16"], "fp8": findings.study.variants["fp8"]}
    found, _ = answered(
        findings, ALL, latency={"fp8": FAST}, texts=texts, decision=by_fidelity(perplexity_ratio=1.05), variants=alone
    )
    assert found.ship == ("fp8",)


def test_a_suite_without_a_comparison_is_not_measured(findings):
    suites = with_verdicts(findings, ALL)
    del suites["fp8", "gsm8k"]
    found, said = answered(findings, ALL, {"fp8": FASTER}, suites=suites)
    assert found.candidates["fp8"].status == "not measured" and found.acceptable == ("sparse_fp8", "int4")
    assert "Dense FP8: gsm8k not measured." in said.evidence


def test_a_suite_that_does_not_decide_is_named_where_it_rejects(findings):
    suites = with_verdicts(findings, ALL)
    suites["fp8", "gsm8k"] = verdict_of(suites["fp8", "gsm8k"], REJECTED)
    decision = DecisionSettings(suites=("mmlu",))
    found, said = answered(findings, ALL, {"fp8": FASTER}, suites=suites, decision=decision)
    assert found.ship == ("fp8",) and "It is rejected on gsm8k, which does not decide." in said.evidence


def test_without_scored_suites_nothing_is_said_of_accuracy(findings):
    found, said = answered(findings, ALL, {"fp8": FASTER}, suites={})
    assert found.ship == found.suites == () and said.headline.startswith("No recommendation: no suite scored")


def test_more_gpus_are_no_gain(findings):
    variants = dict(findings.study.variants)
    variants["fp8"] = replace(variants["fp8"], gpus=2)
    found, _ = answered(findings, ALL, {"fp8": FASTER, "int4": FAST}, variants=variants)
    assert found.ship == ("int4",) and found.gains["capacity"]["fp8"].estimate.value == pytest.approx(0.8)


def test_a_study_that_compares_nothing_has_no_answer(findings):
    alone = replace(findings.study, variants={"bf16": findings.study.variants["bf16"]})
    assert recommend(alone, {}, {}, {}, (), {}) is None
    assert conclusion(replace(findings, recommendation=None)) is None


def test_other_deployments_have_their_variants_accuracy_and_speeds_of_their_own(findings):
    """The baseline's deployments are no compression: none of them is shipped, however fast."""
    variants = dict(findings.study.variants)
    variants["int4"] = replace(variants["int4"], deployment_of="fp8", accuracy_of="fp8", label="Dense FP8, TP 2")
    variants["sparse_fp8"] = replace(variants["sparse_fp8"], deployment_of="bf16", accuracy_of="bf16")
    gains = {"fp8": FAST, "int4": FASTER, "sparse_fp8": Estimate(9, 8, 10)}
    found, said = answered(findings, ALL, gains, variants=variants)
    assert (found.ship, found.acceptable, list(found.candidates)) == (("int4",), ("fp8",), ["fp8"])
    assert said.headline.startswith("Ship Dense FP8, TP 2: it serves")
    found, said = answered(findings, dict.fromkeys(COMPARED, INCONCLUSIVE), gains, variants=variants)
    assert (found.ship, found.promising) == ((), "int4"), "the reason is said once"


def test_what_lacks_repeats_alone_looks_better_than_what_lacks_items(findings):
    verdicts = {"fp8": ESTABLISHED, "sparse_fp8": REJECTED, "int4": INCONCLUSIVE}
    found, _ = answered(findings, verdicts, {"fp8": ONCE, "int4": Estimate(2.0)}, repeats={})
    assert (found.outcome, found.promising) == (RUN_MORE, "fp8")
    assert [need.setting for need in found.needs] == ["load.repeats=3"]
