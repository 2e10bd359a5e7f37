"""What comes out of the sandbox, and how it is compared: as evalplus compares, wherever evalplus's way is sound."""

import os
from collections import Counter, OrderedDict
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from harness.accuracy.humaneval.humaneval_checks import Truth, status
from harness.accuracy.humaneval.humaneval_values import Witness, chained, digest, line_of, read

EQUAL = [
    [1, 1.0, True, np.int64(1), np.float64(1.0), Fraction(1), Decimal(1), complex(1, 0)],
    [0.5, Fraction(1, 2), Decimal("0.5"), np.float64(0.5)],
    ["a", np.str_("a")],
    [[1, 2.5, "x"], [1.0, 2.5, "x"]],
    [[True, None], [1, None]],
    [(1, 2), (1.0, 2.0)],
    [{1, 2}, frozenset([2, 1.0])],
    [{"a": 1, "b": [2]}, {"b": [2.0], "a": True}, OrderedDict(b=[2], a=1)],
    [{"a": 2}, Counter("aa")],
    [None],
    [[]],
    [()],
    [float("inf")],
    [10**6000],
    [-1],
    [-2],
    ["\ud800"],
    [b"a"],
    ["1"],
    [[[1]]],
]


def test_digests_are_equal_where_values_are():
    for group in EQUAL:
        assert len({digest(value) for value in group}) == 1, group
    assert len({digest(group[0]) for group in EQUAL}) == len(EQUAL)


def test_written_values_come_back():
    for value in [0.1, 3, True, None, "\u00e4", [1, (2, {3.5})], {"a": [1], 2: None}, complex(1, 2), -0.0, 10**300]:
        builtin, back = read(line_of(value, exact=False))
        assert builtin and back == value and type(back) is type(value)
    assert read(line_of(np.float64(0.1), exact=False)) == (False, 0.1)
    assert read(line_of([np.float64(0.1)], exact=False)) == (True, [0.1])


@pytest.mark.parametrize("exact", [True, False])
def test_what_is_equal_to_no_builtin_value_never_agrees(exact):
    for value in (object(), iter([1]), np.array([1, 2]), lambda: 1):
        assert line_of(value, exact) != line_of(value, exact)


def test_the_witness_is_asked_whatever_the_left_side_is(tmp_path):
    with open(tmp_path / "notes", "wb") as notes:
        for value in (1, 1.5, "a", [1], (1,), {1: 2}, None, Fraction(1, 3), Counter("a"), np.float64(2), np.array([1])):
            assert value == Witness(notes.fileno(), True)
    assert (tmp_path / "notes").read_text().count("\n") == 11


def agrees(values, expected, *, atol=0, entry_point="f", inputs=None, said="pass", count=None):
    exact = atol == 0 and not any(isinstance(value, float) for value in expected)
    lines = [line_of(value, exact) for value in values]
    problem = {"atol": atol, "entry_point": entry_point, "base_input": inputs or [[0]] * len(expected)}
    truth = Truth([line_of(value, exact) for value in expected], [0.1] * len(expected), exact)
    answer = {"status": said, "count": len(lines), "values": chained(lines) if exact else lines}
    return status(problem, "base", truth, answer)


def test_equal_values_pass_and_the_first_wrong_one_fails():
    assert agrees([1, [2.0], True], [1, [2], 1]) == "pass"
    assert agrees([1, (2,), 1], [1, [2], 1]) == "fail"
    assert agrees([0.1 + 0.2], [0.3]) == "pass" and agrees([0.301], [0.3]) == "fail"
    assert agrees([1.0000001], [1], atol=1e-6) == "fail"  # not the type, as evalplus has it
    assert agrees([[1.0, 2.0]], [[1.0, 2.0, 3.0]], atol=1e-6) == "fail"


def test_an_answer_that_did_not_end_is_judged_by_what_it_said_so_far():
    assert agrees([1], [1, 2], said="timeout") == "timeout"
    assert agrees([7], [1, 2], said="timeout") == "fail"
    assert agrees([1], [1, 2], said="fail") == "fail"
    assert agrees([1], [1, 2], said="pass") == "fail"  # claims an end that was not reached
    assert agrees([1, 2, 3], [1, 2]) == "fail"


def test_a_zero_of_the_polynomial_passes_whichever_it_is():
    """x^2 - 1 has two; evalplus 0.3.1 fails both."""
    for root, expected in [(1.0, "pass"), (-1.0, "pass"), (0.5, "fail"), ("x", "fail"), (10**4000, "fail")]:
        inputs = [[[-1, 0, 1]]]
        assert agrees([root], [1.0], atol=1e-4, entry_point="find_zero", inputs=inputs) == expected


FORGED = ["", "x", "[]", '[true, ["rm"]]', '[true, ["set", ["list"]]]', "[" * 100000, "[true, NaN]"]


@pytest.mark.parametrize("line", FORGED, ids=range(len(FORGED)))
def test_a_line_that_nobody_writes_is_wrong_and_no_more(line):
    problem = {"atol": 1e-6, "entry_point": "f", "base_input": [[0]]}
    answer = {"status": "pass", "count": 1, "values": [line]}
    assert status(problem, "base", Truth([line_of(0.5, False)], [0.1], False), answer) == "fail"


def test_reading_runs_nothing():
    class Bomb:
        def __reduce__(self):
            return os._exit, (1,)

    builtin, value = read(line_of(Bomb(), exact=False))
    assert not builtin and type(value) is object
