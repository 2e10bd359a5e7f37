"""Answers that bring the asked function about in other ways than `def`: verdicts are evalplus's, and no false flag."""

import pytest
from evalplus.eval import untrusted_check
from evalplus.sanitize import sanitize

from harness.accuracy import sandbox
from harness.accuracy.humaneval.evaluation import evaluate

CALLABLE = {  # answer -> is there something to call by that name once it has run?
    "triple = lambda n: 3 * n\n": True,
    "from operator import mul\nfrom functools import partial\ntriple = partial(mul, 3)\n": True,
    "def helper(n):\n    return 3 * n\n\ntriple = helper\n": True,
    "from operator import neg as triple\n": True,  # wrong, and there
    "def triple(n):\n    return 2 * n\n": True,  # the same
    "def triple(n):\n    raise ValueError\n": True,
    "class triple:\n    def __new__(cls, n):\n        return 3 * n\n": True,
    "triple: object = lambda n: 3 * n\n": None,  # evalplus's extraction decides
    "triple, other = (lambda n: 3 * n), None\n": None,
    "try:\n    import nothing\nexcept ImportError:\n    pass\ndef triple(n):\n    return n + n + n\n": None,
    "if True:\n    def triple(n):\n        return 3 * n\n": None,
    "def outer():\n    def triple(n):\n        return 3 * n\n    return triple\n": False,
    "class Solution:\n    def triple(self, n):\n        return 3 * n\n": False,
    "triple = 3\n": False,
    "import nothing_of_that_name\ntriple = nothing_of_that_name.triple\n": False,
    "def tripled(n):\n    return 3 * n\n": False,
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    problem = {
        "task_id": "a",
        "prompt": "def triple(n):\n",
        "entry_point": "triple",
        "canonical_solution": "    return 3 * n\n",
        "base_input": [[1], [-2]],
        "plus_input": [[0]],
        "atol": 0,
    }
    box = sandbox.find(False)
    found = evaluate(
        {"a": problem},
        {"a": list(CALLABLE)},
        plus=True,
        sandbox=box,
        work_dir=tmp_path_factory.mktemp("names"),
        timeout_s=120,
    )
    return dict(zip(CALLABLE, found["a"], strict=True))


@pytest.mark.parametrize("answer", CALLABLE)
def test_the_verdict_is_evalplus_s(answer, verdicts):
    inputs, expected = [[1], [-2]], [3, -6]
    arguments = ("humaneval", sanitize(answer, "triple"), inputs, "triple", expected, 0, [0.01, 0.01])
    theirs, _ = untrusted_check(*arguments, min_time_limit=3.0)
    assert verdicts[answer].base == theirs
    assert verdicts[answer].parsed or theirs != "pass"


@pytest.mark.parametrize("answer", [answer for answer, there in CALLABLE.items() if there is not None])
def test_the_flag_says_what_running_it_has_shown(answer, verdicts):
    assert verdicts[answer].parsed is CALLABLE[answer]
