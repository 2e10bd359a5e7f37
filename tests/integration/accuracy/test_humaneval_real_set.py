"""The real HumanEval+ against evalplus itself. About a minute on two idle cores; skipped where the data is not."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.accuracy import sandbox
from harness.accuracy.humaneval.evaluation import evaluate

MIRROR = Path(__file__).parents[4] / "shared" / "data" / "humaneval" / "HumanEvalPlus.jsonl.gz"
MIRROR = Path(os.environ.get("HARNESS_HUMANEVAL_PLUS", MIRROR))
pytestmark = [
    pytest.mark.skipif(not MIRROR.exists(), reason="no mirror of HumanEval+ here"),
    pytest.mark.timeout(1800),  # of a machine that does much else
]

SPOILED = """
def _spoiled(value):
    if isinstance(value, bool): return not value
    if isinstance(value, (int, float)): return value + 1
    if isinstance(value, str): return value + "x"
    if isinstance(value, (list, tuple)): return type(value)([*value, 1])
    if isinstance(value, dict): return {**value, "x": 1}
    return 0
"""
EVALPLUS = """
import sys
from evalplus.evaluate import evaluate
evaluate("humaneval", sys.argv[1], parallel=2, min_time_limit=3)
"""


@pytest.fixture(scope="module")
def problems():
    with gzip.open(MIRROR, "rt") as file:
        return {problem["task_id"]: problem for problem in map(json.loads, file)}


def canonical(problem):
    return problem["prompt"] + problem["canonical_solution"]


def wrapped(problem, inner, helpers=""):
    """The canonical solution under another name, and around it `inner`, which may call it as `right`."""
    name = problem["entry_point"]
    code = re.sub(rf"\b{name}\b", "right", canonical(problem))
    return f"{code}\n{helpers}\ndef {name}(*arguments):\n    {inner}\n"


def judge(problems, answers, tmp_path):
    return evaluate(problems, answers, plus=True, sandbox=sandbox.find(), work_dir=tmp_path, timeout_s=1700)


@pytest.fixture(scope="module")
def verdicts(problems, tmp_path_factory):
    """{task id: verdicts}: of the canonical solution, then of one of six wrong ones in turn."""
    answers = {}
    for number, (name, problem) in enumerate(problems.items()):
        wrong = [
            problem["prompt"] + "    return None\n",
            problem["prompt"] + "    return 42\n",
            wrapped(problem, "return _spoiled(right(*arguments))", SPOILED),
            wrapped(problem, "right(*arguments)"),  # works it out, and forgets to say so
            problem["prompt"],
            "",
        ]
        answers[name] = [canonical(problem), wrong[number % 6]]
    return judge(problems, answers, tmp_path_factory.mktemp("real"))


def test_canonical_solutions_score_164_of_164_on_both(verdicts):
    assert Counter((right.base, right.plus) for right, *_ in verdicts.values()) == {("pass", "pass"): 164}


def test_known_wrong_solutions_score_0(verdicts):
    found = {(name, index): v.base for name, (_, *wrong) in verdicts.items() for index, v in enumerate(wrong)}
    assert len(found) == 164 and {key for key, base in found.items() if base == "pass"} == set()


def test_a_mixed_file_has_the_verdicts_that_evalplus_gives(problems, tmp_path):
    """Item by item, base and plus; but for HumanEval/32, which evalplus 0.3.1 fails whatever the answer."""
    some = {name: problem for name, problem in list(problems.items())[::8] if name != "HumanEval/32"}
    answers = {}
    for name, problem in some.items():
        base = len(problem["base_input"])
        counted = "right.calls = getattr(right, 'calls', 0) + 1; "
        answers[name] = [
            canonical(problem),
            wrapped(problem, "return _spoiled(right(*arguments))", SPOILED),
            wrapped(problem, f"{counted}return right(*arguments) if right.calls <= {base} else None"),  # plus alone
            wrapped(problem, "import numpy; v = right(*arguments); return numpy.float64(v) if type(v) is float else v"),
            wrapped(problem, "v = right(*arguments); return tuple(v) if type(v) is list else v"),
            wrapped(problem, "v = right(*arguments); return v * (1 + 1e-9) if type(v) is float else v"),
            wrapped(problem, "v = right(*arguments); return float(v) if type(v) is int and v < 10**9 else v"),
            wrapped(problem, "from fractions import Fraction; v = right(*arguments); "
                             "return Fraction(v) if type(v) is float else v"),
            wrapped(problem, "raise SystemExit(0)"),
            problem["prompt"] + "    return undefined\n",
        ]  # fmt: skip
    names = list(some)
    answers[names[0]].append(some[names[0]]["prompt"] + "    while True: pass\n")
    answers[names[1]].append(some[names[1]]["prompt"] + "    import time; time.sleep(1e6)\n")
    verdicts = judge(some, answers, tmp_path / "ours")

    data, samples = tmp_path / "problems.jsonl", tmp_path / "samples.jsonl"
    data.write_text("".join(json.dumps(problem) + "\n" for problem in some.values()))
    lines = [{"task_id": name, "solution": verdict.solution} for name, group in verdicts.items() for verdict in group]
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = {**os.environ, "HUMANEVAL_OVERRIDE_PATH": str(data), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", EVALPLUS, str(samples)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=1500)
    theirs = json.loads((tmp_path / "samples_eval_results.json").read_text())["eval"]

    differing = [
        (name, index, verdict, result["base_status"], result["plus_status"])
        for name, group in verdicts.items()
        for index, (verdict, result) in enumerate(zip(group, theirs[name], strict=True))
        if verdict.base != result["base_status"] or (verdict.base == "pass" and verdict.plus != result["plus_status"])
    ]
    assert differing == []
    kinds = Counter((result["base_status"], result["plus_status"]) for results in theirs.values() for result in results)
    assert min(kinds["pass", "pass"], kinds["fail", "fail"], kinds["pass", "fail"]) >= 10, kinds
