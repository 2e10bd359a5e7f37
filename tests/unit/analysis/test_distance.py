"""Distances against full softmaxes that the bound never sees."""

import base64
import re

import numpy as np
import pytest
from scipy.special import log_softmax as scipy_log_softmax
from scipy.special import rel_entr

from harness.analysis import analyse
from harness.analysis.quality.choices import choice_distances, choice_gap, log_softmax
from harness.analysis.quality.paired import PairingError
from harness.analysis.quality.texts import perplexity_of, text_distances, text_gap
from harness.analysis.study import Study
from harness.records.item import Item, TextWindow
from harness.report.files.notes import release_notes
from harness.report.sections import fill
from harness.report.verdicts import verdicts
from tests.unit.analysis.fidelity_studies import study_of

VOCABULARY, LENGTH, TOP_K = 400, 32, 20
TEXT = {
    "primary": "perplexity",
    "scores": {},
    "data": {"source": "text", "name": "prose", "population": 6},
    "details": {"window": LENGTH},
}


def packed(values, kind):
    return base64.b64encode(np.asarray(values, dtype=kind).tobytes()).decode()


def window(number, logits, tokens, top_k=TOP_K):
    """The row of a window, from the whole distribution at each position."""
    ln_p = scipy_log_softmax(logits.astype(np.float32), axis=1)
    order = np.argsort(-ln_p, axis=1, kind="stable")[:, :top_k]
    own = np.take_along_axis(ln_p, tokens[:, None], axis=1)[:, 0]
    return {
        "id": f"s/{number}",
        "doc_hash": str(number),
        "prompt_hash": "p",
        "scores": {},
        "tokens": len(tokens),
        "logprob_sum": float(own.astype(float).sum()),
        "top_k": top_k,
        "token_ids": packed(tokens, "<u4"),
        "token_logprobs": packed(own, "<f4"),
        "top_ids": packed(order, "<u4"),
        "top_logprobs": packed(np.take_along_axis(ln_p, order, axis=1), "<f4"),
    }


def texts(noise, peak=3.0, windows=6, top_k=TOP_K, seed=1):
    """(baseline's rows, variant's rows, true KL of each position): logits, and the same with `noise` added."""
    rng = np.random.default_rng(seed)
    base, own, true = [], [], []
    for number in range(windows):
        logits = rng.normal(0, peak, size=(LENGTH, VOCABULARY))
        moved = logits + rng.normal(0, noise, size=logits.shape)
        tokens = rng.integers(0, VOCABULARY, size=LENGTH)
        base.append(window(number, logits, tokens, top_k))
        own.append(window(number, moved, tokens, top_k))
        p, q = (np.exp(scipy_log_softmax(x, axis=1)) for x in (logits, moved))
        true.append(rel_entr(p, q).sum(axis=1))
    return base, own, np.concatenate(true)


def gap_of(base, own):
    pairs = zip(map(TextWindow.from_json, base), map(TextWindow.from_json, own), strict=True)
    return text_gap(list(pairs), [0])


@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("peak", [1.0, 3.0, 6.0])
def test_the_bound_never_exceeds_the_divergence_of_the_whole_vocabulary(noise, peak):
    base, own, true = texts(noise, peak)
    found = gap_of(base, own)
    assert 0 < found.kl.value <= true.mean() + 1e-6
    if found.covered > 0.9:
        assert found.kl.value > 0.7 * true.mean(), "tight where it sees nearly everything"


def test_a_top_k_of_the_whole_vocabulary_gives_the_divergence_itself():
    base, own, true = texts(0.5, top_k=VOCABULARY)
    found = gap_of(base, own)
    assert found.kl.value == pytest.approx(true.mean(), rel=1e-4) and found.covered == pytest.approx(1.0, abs=1e-5)


def test_a_smaller_top_k_only_loosens_the_bound():
    bounds = [gap_of(*texts(0.5, top_k=k)[:2]).kl.value for k in (2, 5, 20, 100)]
    assert bounds == sorted(bounds)


def test_more_damage_is_a_larger_distance():
    found = [gap_of(*texts(noise)[:2]) for noise in (0.1, 0.4, 1.2)]
    assert [f.kl.value for f in found] == sorted(f.kl.value for f in found)
    assert [f.top1.value for f in found] == sorted((f.top1.value for f in found), reverse=True)


def test_perplexity_and_its_ratio():
    base, own, _ = texts(0.6)
    found = gap_of(base, own)
    direct = [np.exp(-sum(r["logprob_sum"] for r in rows) / sum(r["tokens"] for r in rows)) for rows in (base, own)]
    assert perplexity_of(list(map(TextWindow.from_json, base)), [0]).value == pytest.approx(direct[0])
    assert found.ratio.value == pytest.approx(direct[1] / direct[0])
    assert found.difference.value == pytest.approx(direct[1] - direct[0])
    assert found.ratio.low < found.ratio.value < found.ratio.high
    assert (found.ratio.high < 1) == (found.difference.high < 0)


def test_the_same_distributions_are_at_no_distance():
    base, _, _ = texts(0.5)
    found = gap_of(base, base)
    assert found.kl.value == 0.0 and found.top1.value == 1.0 and found.ratio.value == 1.0


def test_windows_are_what_intervals_count():
    base, own, _ = texts(0.5, windows=1)
    found = gap_of(base, own)
    assert not found.kl.bounded and not found.ratio.bounded and found.top1.high - found.top1.low > 0.5


def test_other_tokens_are_an_error():
    base, own, _ = texts(0.5)
    own[2] = own[2] | {"token_ids": base[3]["token_ids"]}
    with pytest.raises(PairingError, match="s/2"):
        gap_of(base, own)


def text_study(**rows) -> Study:
    return study_of({key.replace("__", "/"): value for key, value in rows.items()}, TEXT)


def test_every_variant_has_a_perplexity_and_the_others_a_gap():
    base, own, _ = texts(0.5)
    _, again, _ = texts(0.01)
    found = text_distances(text_study(base=base, base__1=again, v=own))
    assert found["base", "s"].gap is None and found["base", "s"].perplexity.bounded
    other = found["v", "s"]
    assert other.gap.kl.value > 50 * other.noise.kl.value > 0 and other.tokens == 6 * LENGTH and not other.partial


def test_a_study_of_perplexity_alone_has_verdicts_of_it_and_no_recovery():
    base, own, _ = texts(0.5)
    findings = analyse(text_study(base=base, v=own))
    [verdict] = verdicts(findings)
    assert re.match(r"V has \d+\.\d{3}× \[.+\] BASE's perplexity \(", verdict.headline)
    notes = release_notes(findings, fill(findings))
    assert "Recovery by suite" not in notes and "Distance from the baseline" in notes


def test_windows_that_differ_are_said():
    base, own, _ = texts(0.5)
    found = text_distances(text_study(base=base, v=own[:-1]))["v", "s"]
    assert found.gap is None and "not asked in the same words" in found.not_compared and found.partial


def choices(number, *logprobs, group=None):
    labels = "ABCD"[: len(logprobs)]
    return {"id": f"s/{number}", "doc_hash": str(number), "prompt_hash": "p", "group": group, "scores": {},
            "logprobs": dict(zip(labels, logprobs, strict=True))}  # fmt: skip


def test_choices_are_renormalised_before_they_are_compared():
    """KL((3/4, 1/4) || (1/2, 1/2)) = ln 2 - H(1/4) nats = 0.1308, however much lies outside of the choices."""
    base = choices(0, np.log(0.3), np.log(0.1))
    own = choices(0, np.log(0.02), np.log(0.02))
    found = choice_gap([(Item.from_json(base), Item.from_json(own))], [0])
    assert found.kl.value == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5), abs=1e-12)


def test_a_choice_without_probability_is_finite():
    assert np.isfinite(log_softmax(np.array([-np.inf, -1.0]))).all()


def test_choice_distances_cluster_by_subject_and_see_what_accuracy_does_not():
    rng = np.random.default_rng(0)
    base = [choices(i, *rng.normal(0, 2, 4), group=f"g{i % 12}") for i in range(120)]
    near = [r | {"logprobs": {k: v + rng.normal(0, 0.05) for k, v in r["logprobs"].items()}} for r in base]
    far = [r | {"logprobs": {k: v + rng.normal(0, 0.4) for k, v in r["logprobs"].items()}} for r in base]
    found = choice_distances(study_of({"base": base, "near": near, "far": far}, TEXT | {"primary": "acc"}))
    assert found["near", "s"].gap.kl.high < found["far", "s"].gap.kl.low
    assert found["near", "s"].gap.top1.value >= found["far", "s"].gap.top1.value and found["far", "s"].noise is None


def test_choices_with_other_labels_are_said():
    base, own = [choices(0, -1.0, -2.0)], [choices(0, -1.0, -2.0, -3.0)]
    found = choice_distances(study_of({"base": base, "v": own}, TEXT | {"primary": "acc"}))["v", "s"]
    assert found.gap is None and "labels" in found.not_compared
