import base64
import struct

import pytest

from harness.accuracy.perplexity import Perplexity, PerplexityConfig, Text
from harness.accuracy.text_windows import AskedWindow, cut_windows, scored_window
from harness.errors import CellError, ConfigError


def echoed(ids, k=2, extra=None):
    """An answer of vLLM to `echo` with `logprobs=k`: the token that was generated stands last."""
    tops = [None]
    for position, token in enumerate(ids[1:]):
        top = {f"token_id:{token}": -3.0 - position}
        tops.append(top | {f"token_id:{token + other}": -0.5 * other for other in range(1, k + 1)})
    values = [None, *(-3.0 - position for position in range(len(ids) - 1))]
    logprobs = {
        "tokens": [f"token_id:{token}" for token in ids] + ["token_id:9"],
        "token_logprobs": [*values, -1.0],
        "top_logprobs": [*tops, {"token_id:9": -1.0}],
    }
    return {"choices": [{"text": "x", "logprobs": logprobs | (extra or {})}]}


def scored(answer, ids):
    return scored_window(answer, AskedWindow("p/0", "d", ids), 2)


def unpacked(text, kind):
    data = base64.b64decode(text)
    return list(struct.unpack(f"<{len(data) // 4}{kind}", data))


def test_windows_do_not_overlap_and_the_rest_is_left_out():
    assert cut_windows(list(range(10)), 4, []) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert cut_windows(list(range(8)), 4, []) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_every_window_starts_with_bos_and_keeps_its_length():
    assert cut_windows(list(range(7)), 4, [99]) == [[99, 0, 1, 2], [99, 3, 4, 5]]


def test_a_short_text_is_one_window_and_one_token_none():
    assert cut_windows([1, 2, 3], 8, []) == [[1, 2, 3]]
    assert cut_windows([1], 8, []) == [] and cut_windows([1], 8, [99]) == [[99, 1]]


def test_a_row_has_every_token_but_the_first():
    window = scored(echoed([10, 20, 30]), [10, 20, 30])
    assert window.tokens == 2 and window.logprob_sum == -7.0
    assert unpacked(window.token_ids, "I") == [20, 30] and unpacked(window.token_logprobs, "f") == [-3.0, -4.0]
    assert unpacked(window.top_ids, "I") == [21, 22, 31, 32]
    assert unpacked(window.top_logprobs, "f") == [-0.5, -1.0, -0.5, -1.0]


def test_equal_probabilities_stand_in_the_order_of_their_ids():
    ids = [10, 20]
    top = [None, {"token_id:70": -1.0, "token_id:20": -2.0, "token_id:7": -1.0}]
    assert unpacked(scored(echoed(ids, extra={"top_logprobs": top}), ids).top_ids, "I") == [7, 70]


@pytest.mark.parametrize(
    "extra",
    [
        {"tokens": ["a", "b", "c", "d"]},
        {"tokens": ["token_id:10", "token_id:21", "token_id:30"]},
        {"token_logprobs": [None, -1.0]},
        {"token_logprobs": [None, -1.0, float("-inf"), -1.0]},
        {"token_logprobs": [None, None, -1.0, -1.0]},
        {"top_logprobs": [None, {"token_id:1": -1.0}, {"token_id:1": -1.0}]},
        {"top_logprobs": [None, {"the": -1.0, " a": -1.0}, {"the": -1.0, " a": -1.0}]},
        {"top_logprobs": None},
    ],
)
def test_an_answer_that_lacks_what_was_asked_is_refused(extra):
    with pytest.raises(CellError):
        scored(echoed([10, 20, 30], extra=extra), [10, 20, 30])
    with pytest.raises(CellError):
        scored({"choices": [{"text": "x", "logprobs": None}]}, [10, 20, 30])


@pytest.mark.parametrize("setting", [{"window": 1}, {"items": 0}, {"top_k": 0}, {"top_k": 21}])
def test_settings_out_of_range_are_named(setting):
    with pytest.raises(ConfigError, match=f"suites.p.{next(iter(setting))}"):
        Perplexity("p", PerplexityConfig(**setting))


def test_the_pocket_text_is_our_prose_as_it_stands():
    suite = Perplexity("p", PerplexityConfig())
    assert suite.problems("pocket") == [] and suite._text("pocket").read().startswith(Text("", "", "prose").read()[:99])


def test_a_mirror_has_the_text_in_a_file(tmp_path):
    suite = Perplexity("p", PerplexityConfig())
    (problem,) = suite.problems(str(tmp_path))
    assert "suite p" in problem and "wikitext" in problem
    (tmp_path / "wikitext").mkdir()
    (tmp_path / "wikitext/test.txt").write_text(" = Title = \n\n a b \n")
    assert suite.problems(str(tmp_path)) == []
    assert suite._text(str(tmp_path)).read() == " = Title = \n\n a b \n"


def test_a_text_of_ones_own_changes_the_fingerprint_with_its_words(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("one two")
    suite = Perplexity("p", PerplexityConfig(text=str(path)))
    before = suite.fingerprint(None)
    path.write_text("one three")
    assert suite.fingerprint(None) != before and str(tmp_path) not in str(before)
    (problem,) = Perplexity("p", PerplexityConfig(text="nowhere.txt")).problems(None)
    assert "nowhere.txt" in problem


def test_dialogues_are_read_as_their_words():
    assert "\n\n" in Text("text", "chat", "chat").read()
