"""A sweep's suites as a whole: noise floor, Holm over all comparisons, errors clustered by subject, drifted prompts."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.analysis.quality.accuracy import suite_results
from harness.analysis.statistics.significance import mcnemar_exact
from harness.analysis.study import build_study
from harness.records.manifest import Manifest
from harness.records.record import Record

N = 300
SUITES = ("mmlu", "gsm8k")
LOGPROBS: dict[str, float] = {}
SUBJECTS = [f"subject {n % 10}" for n in range(N)]


def scores(flips: int, seed: int) -> np.ndarray:
    """The baseline's scores, of which `flips` right ones are lost and a third as many gained."""
    base = np.array([1.0] * 180 + [0.0] * 120)
    rng = np.random.default_rng(seed)
    base[rng.choice(180, flips, replace=False)] = 0.0
    base[180 + rng.choice(120, flips // 3, replace=False)] = 1.0
    return base


def study(flips: dict[tuple[str, str, int], int], drift: str | None = None):
    cells, records, rows = [], [], {}
    for seed, ((variant, suite, repeat), lost) in enumerate(flips.items()):
        key = f"{variant}/{suite}/r{repeat}"
        cell = {"key": key, "kind": "accuracy", "variant": variant, "suite": suite, "repeat": repeat}
        cells.append(cell | {"fingerprint": key})
        values = scores(lost, seed)
        prompt = "other" if variant == drift else "prompt"
        rows[key] = [
            {"id": i, "group": SUBJECTS[i] if suite == "mmlu" else None, "doc_hash": "d", "prompt_hash": prompt,
             "scores": {"acc": value}} | ({"logprobs": LOGPROBS} if LOGPROBS else {})
            for i, value in enumerate(values)
        ]  # fmt: skip
        result = {"primary": "acc", "scores": {"acc": {"value": values.mean(), "n": N}}, "counts": {"items": N}}
        records.append({"cell": cells[-1], "fingerprint": key, "result": result})
    manifest = {"name": "s", "baseline": "bf16", "suites": list(SUITES), "scenarios": {}, "cells": cells}
    manifest["variants"] = {variant: {"label": variant} for variant, *_ in flips}
    return build_study(
        Manifest.from_json(manifest), list(map(Record.from_json, records)), lambda record: rows[record.cell.key], []
    )


FLIPS = {("bf16", suite, repeat): 3 * repeat for suite in SUITES for repeat in (0, 1)}
FLIPS |= {("fp8", suite, 0): 6 for suite in SUITES} | {("int4", suite, 0): 24 for suite in SUITES}


@pytest.fixture(scope="module")
def results():
    return suite_results(study(FLIPS))[0]


def test_the_noise_floor_is_the_baselines_second_run(results):
    for suite in SUITES:
        noise = results["int4", suite].comparison.noise
        assert noise.value == pytest.approx((1 - 3) / N), "3 lost and 1 gained between the two runs"
        assert noise.low < 0 < noise.high
        assert results["int4", suite].comparison.noise_flips == (3, 1)


def test_both_runs_of_the_baseline_are_the_reference(results):
    runs = [scores(FLIPS["bf16", "mmlu", repeat], list(FLIPS).index(("bf16", "mmlu", repeat))) for repeat in (0, 1)]
    own = scores(24, list(FLIPS).index(("int4", "mmlu", 0)))
    found, mean = results["int4", "mmlu"].comparison, np.mean(runs, axis=0)
    assert results["bf16", "mmlu"].score.value == pytest.approx(mean.mean())
    assert found.difference.value == pytest.approx(own.mean() - mean.mean())
    assert (found.test, found.p) == ("paired t", pytest.approx(stats.ttest_rel(own, mean).pvalue))
    assert (found.lost, found.gained) == (24, 8), "flips are counted against one run, as those of the noise floor are"


def test_holm_is_taken_over_all_comparisons_of_the_sweep():
    results = suite_results(study({key: flips for key, flips in FLIPS.items() if key[2] == 0}))[0]
    compared = {key: result.comparison for key, result in results.items() if result.comparison}
    assert len(compared) == 4
    plain = [mcnemar_exact(c.lost, c.gained) for c in compared.values()]
    corrected = multipletests(plain, method="holm")[1]
    assert [c.p for c in compared.values()] == pytest.approx(plain)
    assert [c.p_holm for c in compared.values()] == pytest.approx(list(corrected), abs=1e-12)


@pytest.mark.parametrize(("right", "guesses"), [(80, True), (120, False)])
def test_a_score_that_guessing_gives_is_at_chance(right, guesses, monkeypatch):
    """300 items of four choices: a guess scores 25 %, 80 are right by chance and 120 are not."""
    values = np.repeat([1.0, 0.0], [right, N - right])
    monkeypatch.setitem(globals(), "scores", lambda flips, seed: values)
    monkeypatch.setitem(globals(), "LOGPROBS", dict.fromkeys("ABCD", -1.4))
    found = suite_results(study(FLIPS))[0]["bf16", "mmlu"]
    assert found.chance == pytest.approx(0.25) and found.at_chance == guesses
    low = stats.binomtest(right, N).proportion_ci(0.95, method="wilson").low
    assert (low <= 0.25) == guesses


def test_a_suite_on_which_the_baseline_scored_nothing_is_not_averaged(monkeypatch):
    known = study(FLIPS)
    monkeypatch.setitem(globals(), "scores", lambda flips, seed: np.zeros(N))
    nothing = suite_results(study(FLIPS))[1]["fp8"]
    assert nothing.uninformative and nothing.recovery is None and nothing.left_out == nothing.unscored == SUITES
    assert nothing.reason == "the baseline scores 0 on mmlu, gsm8k"
    one = replace(nothing, unscored=("gsm8k",))
    assert one.why_left_out == "the baseline is at chance on mmlu and scores 0 on gsm8k"
    assert suite_results(known)[1]["fp8"].left_out == ()


def test_without_choices_chance_is_not_known(results):
    assert results["bf16", "mmlu"].chance is None and not results["bf16", "mmlu"].at_chance


def test_errors_are_clustered_where_items_have_subjects(results):
    assert results["int4", "mmlu"].clustered.value == pytest.approx(results["int4", "mmlu"].score.value)
    assert results["int4", "mmlu"].comparison.clustered.bounded
    assert results["int4", "gsm8k"].clustered is None and results["int4", "gsm8k"].comparison.clustered is None


def test_more_flips_hide_larger_effects(results):
    few, many = (results[variant, "mmlu"].comparison.detectable for variant in ("fp8", "int4"))
    assert 0 < few < many < 0.1


def test_drifted_prompts_are_not_compared_and_say_so():
    results, averages = suite_results(study(FLIPS, drift="int4"))
    assert "were not asked in the same words" in results["int4", "mmlu"].not_compared
    assert results["int4", "mmlu"].comparison is None and averages["int4"].recovery is None
    assert results["fp8", "mmlu"].comparison is not None


def test_a_scores_interval_by_subject_stays_between_nothing_and_everything(monkeypatch):
    """Ten subjects of which one holds every right answer: the t interval alone would begin below 0."""
    one = np.array([1.0 if subject == "subject 0" else 0.0 for subject in SUBJECTS])
    monkeypatch.setitem(globals(), "scores", lambda flips, seed: one)
    score = suite_results(study(FLIPS))[0]["int4", "mmlu"].clustered
    assert score.low == 0.0 < score.value < score.high <= 1.0
