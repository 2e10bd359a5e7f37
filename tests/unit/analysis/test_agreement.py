import pytest

from harness.analysis.quality.agreement import agreements, prefix_share, sameness
from harness.analysis.statistics.intervals import wilson
from harness.records.accuracy_result import AccuracyResult
from harness.records.item import Item
from tests.unit.analysis.fidelity_studies import study_of

RESULT = {"primary": "acc", "scores": {}, "data": {"source": "pocket", "name": "pocket s", "population": 9}}


def row(number, text, **more):
    return {"id": f"s/{number}", "doc_hash": str(number), "prompt_hash": "p", "response": text,
            "finish_reason": "stop"} | more  # fmt: skip


def rows(*texts):
    return [row(number, text) for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("base", "own", "share"),
    [("abcd", "abcd", 1.0), ("abcd", "abxx", 0.5), ("abcd", "ab", 0.5), ("ab", "abcd", 1.0), ("", "", 1.0),
     ("", "x", 0.0), ("x", "", 0.0)],
)  # fmt: skip
def test_prefix_is_a_share_of_the_baselines_length(base, own, share):
    assert prefix_share(base, own) == share


def test_what_is_the_same():
    base, own = rows("four", "good", "end", ""), rows("four", "gold", "ending", "")
    pairs = list(zip(map(Item.from_json, base), map(Item.from_json, own), strict=True))
    found = sameness(pairs, [0])
    assert (found.exact.value, found.items) == (0.5, 4)
    assert (found.exact.low, found.exact.high) == (wilson(2, 4).low, wilson(2, 4).high)
    assert found.prefix.value == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert found.length_ratio.value == pytest.approx(14 / 11)


def test_variants_agree_with_the_baseline_and_the_baseline_with_itself():
    texts = ["one", "two", "three", "four"]
    study = study_of(
        {"base": rows(*texts), "base/1": rows("one", "two", "three", "for"), "v": rows("one", "2", "3", "4")}, RESULT
    )
    (key, found), *none = agreements(study).items()
    assert key == ("v", "s") and not none
    assert found.same.exact.value == 0.25 and found.noise.exact.value == 0.75
    assert found.partial and found.population == 9 and found.not_compared is None


def test_items_are_joined_whatever_their_order_and_differing_items_are_said():
    base = rows("one", "two")
    found = agreements(study_of({"base": base, "v": base[::-1]}, RESULT))["v", "s"]
    assert found.same.exact.value == 1.0
    other = [row(0, "one"), row(1, "two", prompt_hash="other")]
    found = agreements(study_of({"base": base, "v": other}, RESULT))["v", "s"]
    assert found.same is None and "not asked in the same words" in found.not_compared


def test_an_invalid_baseline_is_not_compared_with():
    flags = {"base": [{"code": "x", "level": "invalid", "message": "m"}]}
    found = agreements(study_of({"base": rows("a"), "v": rows("a")}, RESULT, flags))["v", "s"]
    assert found.same is None and "BASE has no valid result" in found.not_compared


def test_only_greedy_generated_answers_count():
    choices = [row(0, "A", finish_reason=None)]
    assert agreements(study_of({"base": choices, "v": choices}, RESULT)) == {}
    sampled = RESULT | {"details": {"temperature": 0.8}}
    assert agreements(study_of({"base": rows("a"), "v": rows("a")}, sampled)) == {}
    assert not AccuracyResult.from_json({"details": {"decoding": "temperature 0.8, 20 samples"}}).greedy
    greedy = {"decoding": "greedy, at most 96 tokens", "temperature": 0.0}
    assert AccuracyResult.from_json({"details": greedy}).greedy


def test_cut_outputs_are_counted():
    cut = [row(0, "a", finish_reason="length")]
    assert agreements(study_of({"base": cut, "v": cut}, RESULT))["v", "s"].truncated == 1
