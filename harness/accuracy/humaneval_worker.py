"""Extracts and tests model-written code with evalplus. Runs inside the sandbox, as a file; imports no harness.

    python humaneval_worker.py JOB    JOB: {"samples": [{"id", "entry_point", "code"}], "plus", "host_pid_namespace"}

HUMANEVAL_OVERRIDE_PATH names the problems, one line each. Answers go to stdout as JSON lines: {"ready": true}, then
for each sample {"start": id} and {"id", "solution", "parsed", "base", "plus"} (statuses of evalplus: pass, fail,
timeout; `plus` is None when it was not run, which is also when base failed: base and plus must both pass).

Why not evalplus.evaluate.evaluate(): it waits for a watchdog thread that sleeps 20 s, hangs for ever when a worker
dies, and leaves behind what the tested code started. The same checks run here one after the other, and after each
everything else in this process table is killed.
"""

import ast
import contextlib
import json
import multiprocessing
import os
import signal
import sys

SANITIZE_S = 20  # evalplus parses every pair of lines; more only for answers that are no program
MIN_TIME_LIMIT_S = 3.0  # of one test; evalplus's 1 s fails HumanEval/15's own solution on a busy machine

# evalplus 0.3.1 fails every right answer to HumanEval/32: its oracle skips the line that counts the test. The same
# oracle (|poly(xs, x)| <= 1e-4), asked from outside.
FIND_ZERO = """

def _is_zero(xs):
    from evalplus.eval._special_oracle import _poly
    return abs(_poly(xs, find_zero(xs))) <= 1e-4
"""


def main(job_path: str) -> None:
    results = _take_stdout()
    with open(job_path) as file:
        job = json.load(file)
    own_processes = os.readlink("/proc/self/ns/pid") != job["host_pid_namespace"]
    multiprocessing.set_start_method("fork")
    from evalplus.data import get_human_eval_plus

    problems = get_human_eval_plus()
    _say(results, {"ready": True})
    for sample in job["samples"]:
        _say(results, {"start": sample["id"]})
        problem = problems[sample["id"]]
        solution = extract(sample["code"], sample["entry_point"])
        base = _check(problem, solution, "base")
        plus = _check(problem, solution, "plus") if job["plus"] and base == "pass" else None
        if own_processes:
            _kill_others()
        parsed = defines(solution, sample["entry_point"])
        _say(results, {"id": sample["id"], "solution": solution, "parsed": parsed, "base": base, "plus": plus})


def extract(text: str, entry_point: str) -> str:
    """evalplus's sanitize: the longest piece that parses, reduced to what the entry point needs; "" if it fails."""
    from evalplus.sanitize import sanitize

    def give_up(signum, frame):
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SANITIZE_S)
    try:
        return sanitize(text, entry_point)
    except (TimeoutError, ValueError, RecursionError):  # null bytes, deep nesting
        return ""
    finally:
        signal.alarm(0)


def defines(code: str, entry_point: str) -> bool:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == entry_point for node in tree.body)


def _check(problem: dict, solution: str, which: str) -> str:
    """evalplus's untrusted_check against its trusted_exec of the canonical solution, as its get_groundtruth does it."""
    from evalplus.eval import untrusted_check
    from evalplus.gen.util import trusted_exec

    inputs, entry_point = problem[f"{which}_input"], problem["entry_point"]
    canonical = problem["prompt"] + problem["canonical_solution"]
    expected, times_s = trusted_exec(canonical, inputs, entry_point, record_time=True)
    if entry_point == "find_zero":
        solution, entry_point, expected = solution + FIND_ZERO, "_is_zero", [True] * len(inputs)
    status, _ = untrusted_check(
        "humaneval", solution, inputs, entry_point,
        expected=expected, atol=problem["atol"], ref_time=times_s, fast_check=True, min_time_limit=MIN_TIME_LIMIT_S,
    )  # fmt: skip
    return status


def _take_stdout():
    """The results get a descriptor that tested code does not inherit; its own prints, at any level, go nowhere."""
    results = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def in_child() -> None:
        os.close(results.fileno())
        os.dup2(nowhere, 2)

    os.register_at_fork(after_in_child=in_child)
    return results


def _say(results, line: dict) -> None:
    results.write(json.dumps(line) + "\n")
    results.flush()


def _kill_others() -> None:
    """Everything else in the sandbox, but for its first process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # whatever thread or handler is left
