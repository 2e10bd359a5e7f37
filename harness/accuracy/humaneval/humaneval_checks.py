"""Whether what model-written code returned is right: decided here, outside the sandbox, where that code cannot reach.

evalplus 0.3.1 decides inside `unsafe_execute` (evalplus/eval/__init__.py), in the process that ran the code. These are
its rules for HumanEval, on values that the worker wrote down. One is mended: evalplus fails every right answer to
HumanEval/32 (find_zero), because its oracle skips the line that counts the test.
"""

import warnings
from dataclasses import dataclass
from typing import Any

from harness.accuracy.humaneval.humaneval_values import chained, read


@dataclass(frozen=True)
class Truth:
    """What the canonical solution returned for each input: digests where `exact`, else values as the worker writes."""

    values: list[str]
    times_s: list[float]
    exact: bool


def status(problem: dict[str, Any], which: str, truth: Truth, answer: dict[str, Any]) -> str:
    """`which`: base or plus; `answer`: the worker's. pass, fail, timeout: as evalplus's untrusted_check says it."""
    count = answer["count"]
    if count > len(truth.values) or not _right(problem, which, truth, count, answer["values"]):
        return "fail"
    if answer["status"] != "pass":
        return answer["status"]
    return "pass" if count == len(truth.values) else "fail"


def _right(problem: dict[str, Any], which: str, truth: Truth, count: int, values: Any) -> bool:
    """Of the first `count` inputs, those that were answered at all."""
    if truth.exact:
        return values == chained(truth.values[:count])
    tolerance = problem["atol"]
    try:
        for arguments, written, expected_written in zip(problem[f"{which}_input"], values, truth.values, strict=False):
            builtin, value = read(written)
            _, expected = read(expected_written)
            if problem["entry_point"] == "find_zero":
                if not _is_zero(arguments, value, tolerance):
                    return False
                continue
            if tolerance == 0 and _floats(expected):
                tolerance = 1e-6  # from here on, as evalplus does
            if not (value == expected or (tolerance and builtin and _close(value, expected, tolerance))):
                return False
    except Exception:  # whatever a hostile value does to json or numpy
        return False
    return True


def _floats(value: Any) -> bool:
    from evalplus.eval import is_floats

    return is_floats(value)


def _is_zero(arguments: list[Any], value: Any, tolerance: float) -> bool:
    from evalplus.eval._special_oracle import _poly

    return abs(_poly(*arguments, value)) <= tolerance


def _close(value: Any, expected: Any, tolerance: float) -> bool:
    import numpy as np

    if type(value) is not type(expected):
        return False
    if isinstance(expected, list | tuple) and len(value) != len(expected):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(np.allclose(value, expected, rtol=1e-07, atol=tolerance))
