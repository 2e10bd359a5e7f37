"""What happens inside the sandbox: extracts code, runs it on inputs, tells what it returned. Never what is right.

    python humaneval_worker.py JOB    JOB: {"host_pid_namespace", "inputs": {name: [arguments, ...]}, "items": [...]}

Runs as a file and imports no harness. Answers are JSON lines on stdout: for each item {"start": id}, then {"id": ...}
and by its `task`:
    extract  {"text", "entry_point"} -> {"solution"}, by evalplus's sanitize
    truth    {"code", "entry_point", "inputs", "tolerance"} -> {"values", "times_s", "exact"} of trusted code; exact:
             values are compared by ==, so that digests of them are enough
    run      {"code", "entry_point", "inputs", "times_s", "exact"} -> {"status", "count", "values", "defined"} of
             model-written code: evalplus's own loop over the inputs, in a process of its own (untrusted_check), with
             its time limits and its guard; count: inputs that were answered; values: one digest of all digests
             if `exact`; defined: False if running the code leaves nothing to call by the entry point's name

evalplus hands the expected values to the process that runs the code, where code can find them, or claim to be equal
to them. Here that process gets a `Witness` in place of each: it is equal to everything and writes down what it was
compared with. The comparison is made outside (humaneval_checks.py); neither the expected values nor the canonical
solution are in this sandbox while model-written code runs.
"""

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import sys
import tempfile

SANITIZE_S = 20  # evalplus parses every pair of lines; more only for answers that are no program
MIN_TIME_LIMIT_S = 3.0  # of one test; evalplus's 1 s fails HumanEval/15's own solution on a busy machine


def main(job_path: str) -> None:
    results = _take_stdout()
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: code of the same user cannot open what this process has
    with open(job_path) as file:
        job = json.load(file)
    own_processes = os.readlink("/proc/self/ns/pid") != job["host_pid_namespace"]
    multiprocessing.set_start_method("fork")
    os.environ["EVALPLUS_MAX_MEMORY_BYTES"] = "-1"  # the sandbox limits it, as low; evalplus would try to raise it
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # humaneval_values.py lies beside it
    import evalplus.eval  # noqa: F401  once, not in each child

    tasks = {"extract": extract, "truth": truth, "run": run}
    for item in job["items"]:
        _say(results, {"start": item["id"]})
        answer = tasks[item["task"]](item, job["inputs"].get(item.get("inputs"), []))
        if own_processes:
            _kill_others()
        _say(results, {"id": item["id"], **answer})


def extract(item: dict, inputs: list) -> dict:
    """evalplus's sanitize: the longest piece that parses, reduced to what the entry point needs; "" if it fails."""
    from evalplus.sanitize import sanitize

    def give_up(signum, frame):
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SANITIZE_S)
    try:
        solution = sanitize(item["text"], item["entry_point"])
    except (TimeoutError, ValueError, RecursionError):  # null bytes, deep nesting
        solution = ""
    finally:
        signal.alarm(0)
    return {"solution": solution}


def truth(item: dict, inputs: list) -> dict:
    """As evalplus's get_groundtruth. Lists of nothing but floats are compared with a tolerance, whatever the task's."""
    from evalplus.eval import is_floats
    from evalplus.gen.util import trusted_exec
    from humaneval_values import line_of

    values, times_s = trusted_exec(item["code"], inputs, item["entry_point"], record_time=True)
    exact = item["tolerance"] == 0 and not any(map(is_floats, values))
    return {"values": [line_of(value, exact) for value in values], "times_s": times_s, "exact": exact}


def run(item: dict, inputs: list) -> dict:
    from evalplus.eval import untrusted_check
    from humaneval_values import Witness, chained

    with tempfile.TemporaryFile(buffering=0) as notes:
        witness = Witness(notes.fileno(), item["exact"])
        code = f"{item['code']}\n_asked = {item['entry_point']}\n"  # evalplus has oracles of its own for some names
        status, _ = untrusted_check(
            "humaneval", code, inputs, "_asked",
            expected=[witness] * len(inputs), atol=0, ref_time=item["times_s"],
            fast_check=True, min_time_limit=MIN_TIME_LIMIT_S,
        )  # fmt: skip
        notes.seek(0)
        lines = notes.read().decode(errors="replace").split("\n")[:-1]
    values = chained(lines) if item["exact"] else lines  # a digest of the digests: 1000 tests, many samples
    found = bool(lines) or status != "fail" or defines(item["code"], item["entry_point"])
    return {"status": status, "count": len(lines), "values": values, "defined": found}


def defines(code: str, entry_point: str) -> bool:
    """Whether running the code leaves something to call by that name, however it was put there; in a process apart."""
    from evalplus.eval import untrusted_check

    ended, _ = untrusted_check("humaneval", f"{code}\n_asked = {entry_point}.__call__\n", [], "_asked", [], 0, [])
    return ended != "fail"


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
