"""Answers that break the evaluation, or claim to be right without being so, in every sandbox that works here."""

import os

import pytest

from harness.accuracy import sandbox
from harness.accuracy.humaneval.evaluation import evaluate


@pytest.fixture(params=list(sandbox.KINDS))
def box(request):
    for found in sandbox.candidates():
        if found.kind == request.param and sandbox.trial(found) is None:
            return found
    pytest.skip(f"{request.param} does not work here")


def problem(name, inputs=([1], [4]), **more):
    return {
        "task_id": name, "prompt": "def double(x):\n", "entry_point": "double", "contract": "", "atol": 0,
        "canonical_solution": "    return 2 * x  # CANONICAL\n", "base_input": list(inputs), "plus_input": [[0]],
        **more,
    }  # fmt: skip


BREAKS = {
    "kills the evaluation": "import posix; posix.kill(posix.getppid(), 9)",
    "kills everything": "import posix; posix.kill(-1, 9)",
    "forks": "import posix\n    while True:\n        try: posix.fork()\n        except OSError: pass",
    "exits": "import posix; posix._exit(0)",
    "raises SystemExit": "raise SystemExit(0)",
    "prints": "import posix\n    for _ in range(100000): posix.write(1, b'{\"id\": 0}' * 1000)",
    "endless": "while True: pass",
    "deaf": "import signal\n    for n in range(1, 65):\n        try: signal.signal(n, 1)\n        except: pass\n"
    "    while True: pass",
    "memory": "y = bytearray(1 << 40)",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "fills notes": "import posix\n    for n in range(3, 50):\n        try:\n"
    "            while 1: posix.write(n, b'x' * 65536)\n        except OSError: pass",
}
CHEATS = {
    "is equal to everything": """
class Yes:
    __hash__ = None
    def __eq__(self, other): return True
    def __bool__(self): return True
def double(x): return Yes()
""",
    "equal but of a builtin type": """
class Yes(int):
    __hash__ = int.__hash__
    def __eq__(self, other): return True
def double(x): return Yes(7)
""",
    "finds the checker's state": """
import sys
def double(x):
    frame = sys._getframe()
    while frame:
        names = frame.f_locals
        for name in ("stat", "progress"):
            if hasattr(names.get(name), "value"): names[name].value = {"stat": 0, "progress": 2}[name]
        if "details" in names and "inputs" in names:
            for index in range(len(names["inputs"])): names["details"][index] = True
        frame = frame.f_back
    import posix
    posix._exit(0)
""",
    "finds the expected values": """
import gc, sys
def double(x):
    frame = sys._getframe()
    while frame:
        for name in ("expected", "exp"):
            found = frame.f_locals.get(name)
            if type(found) in (int, list) and "inputs" in frame.f_locals:
                return found if type(found) is int else found[frame.f_locals["i"]]
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing) is dict and "canonical_solution" in thing: return 2 * x
""",
    "finds the canonical solution": """
import io
places = ["/input/job.json", "/input/problems.jsonl", "/proc/self/environ", "/proc/self/cmdline"]
def double(x):
    for path in places:
        try:
            if "CANON" + "ICAL" in io.FileIO(path).read().decode(errors="replace"): return 2 * x
        except OSError: pass
""",
    "replaces the writer": """
import sys
for name in ("humaneval_values", "__main__", "harness.accuracy.humaneval.humaneval_values"):
    module = sys.modules.get(name)
    for name in ("line_of", "digest", "written", "chained"):
        if hasattr(module, name): setattr(module, name, lambda *a: "0" * 32)
def double(x): return None
""",
    "skips the rest": """
import sys
def double(x):
    frame = sys._getframe()
    while frame:
        if isinstance(frame.f_locals.get("inputs"), list): frame.f_locals["inputs"].clear()
        frame = frame.f_back
    return 2
""",
    "writes to the results": """
import posix
line = b'{"id": %d, "status": "pass", "count": 2, "values": "%s"}\\n'
forged = b"".join(b"\\n" + line % (n, b"0" * 64) for n in range(40)) + b'\\n5\\n{"start": 99}\\n'
def double(x):
    for pid in (posix.getppid(), posix.getpid(), 1):
        for number in range(64):
            try: posix.write(posix.open(f"/proc/{pid}/fd/{number}", posix.O_WRONLY), forged); print("!")
            except OSError: pass
    for number in range(3, 256):
        try: posix.write(number, forged)
        except OSError: pass
""",
    "writes to the evaluation's memory": """
import io, posix
def double(x):
    parent = posix.getppid()
    with io.FileIO(f"/proc/{parent}/maps") as maps:
        ranges = maps.readall().decode().splitlines()
    memory = io.FileIO(f"/proc/{parent}/mem", "r+")
    for line in ranges:
        if " rw-p " in line:
            memory.seek(int(line.split("-")[0], 16)); memory.write(bytes(64))
    return None
""",
    "stays behind and writes later": """
import posix, time
if posix.fork() == 0:
    posix.setsid()
    if posix.fork() == 0:
        for _ in range(2000):
            for number in range(3, 256):
                try: posix.write(number, b'\\n{"id": 0, "status": "pass", "count": 2, "values": ""}\\n')
                except OSError: pass
            time.sleep(0.01)
    posix._exit(0)
def double(x): return None
""",
}


def test_hostile_code_fails_alone(box, tmp_path):
    """Every answer is followed by a right one."""
    codes = {name: f"def double(x):\n    {body}\n    return None" for name, body in BREAKS.items()} | CHEATS
    problems, answers = {}, {}
    for name, code in codes.items():
        for label, text in ((name, code), (f"after {name}", "def double(x):\n    return 2 * x")):
            problems[label] = problem(label)
            answers[label] = [text]
    verdicts = evaluate(problems, answers, plus=True, sandbox=box, work_dir=tmp_path, timeout_s=280)
    passed = {name for name, (verdict,) in verdicts.items() if verdict.status == "pass"}
    assert passed == {f"after {name}" for name in codes}
    # where the evaluation is the first process no signal from inside counts; else it dies, and is replaced
    assert verdicts["kills the evaluation"][0].base in ("fail", "crash")
    assert {verdict.base for (verdict,) in verdicts.values()} <= {
        "pass",
        "fail",
        "timeout",
        "crash",
        "memory",
        "processes",
    }


def test_right_and_wrong_are_told_apart_with_a_tolerance_too(box, tmp_path):
    """Values that are not compared by digest take another way out of the sandbox."""
    near = {"atol": 1e-6, "canonical_solution": "    return x / 3\n"}
    codes = {
        "right": "def double(x): return x * (1 / 3)",
        "numpy": "import numpy\ndef double(x): return numpy.float64(x) / 3",
        "far": "def double(x): return x / 3 + 1e-3",
        "text": "def double(x): return str(x / 3)",
        **{
            name: CHEATS[name]
            for name in ("is equal to everything", "finds the checker's state", "writes to the results")
        },
    }
    problems = {name: problem(name, **near) for name in codes}
    answers = {name: [code] for name, code in codes.items()}
    verdicts = evaluate(problems, answers, plus=True, sandbox=box, work_dir=tmp_path, timeout_s=100)
    assert {name for name, (verdict,) in verdicts.items() if verdict.status == "pass"} == {"right", "numpy"}


def test_no_secret_of_the_harness_is_in_the_sandbox_of_an_answer(box, tmp_path, monkeypatch):
    """The answer is right only where it finds the token."""
    monkeypatch.setenv("HARNESS_TEST_TOKEN", token := f"tell-nobody-{os.getpid()}")
    code = f"""
import glob, io
def double(x):
    for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline") + glob.glob("/input/*"):
        try:
            if {token[:5]!r} + {token[5:]!r} in io.FileIO(path).read().decode(errors="replace"): return 2 * x
        except OSError: pass
"""
    verdicts = evaluate({"a": problem("a")}, {"a": [code]}, plus=False, sandbox=box, work_dir=tmp_path, timeout_s=60)
    assert verdicts["a"][0].base == "fail" and verdicts["a"][0].parsed


def test_what_an_empty_answer_is(box, tmp_path):
    texts = ["", "   ", "I cannot help with that.", "def other(x): return 1"]
    verdicts = evaluate({"a": problem("a")}, {"a": texts}, plus=True, sandbox=box, work_dir=tmp_path, timeout_s=60)
    assert [(v.base, v.plus, v.parsed) for v in verdicts["a"]] == [("fail", None, False)] * 4


def test_equal_solutions_of_an_item_are_tested_once(tmp_path):
    """Each run of this one leaves a mark, where no sandbox keeps it from that."""
    mark = f"import posix; posix.write(posix.open({str(tmp_path / 'marks')!r}, posix.O_WRONLY | 1024 | 64), b'x')"
    code = f"def double(x):\n    {mark}\n    return 2 * x\n"
    texts = [code, f"Sure!\n```python\n{code}\n```\nDone.", code]
    task, none = problem("a", inputs=[[1]]), sandbox.Sandbox("none")
    verdicts = evaluate({"a": task}, {"a": texts}, plus=False, sandbox=none, work_dir=tmp_path, timeout_s=60)
    assert [verdict.base for verdict in verdicts["a"]] == ["pass"] * 3
    assert (tmp_path / "marks").read_text() == "x"
