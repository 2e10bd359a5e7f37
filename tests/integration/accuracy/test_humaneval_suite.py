"""HumanEval against a small real server, evalplus and the sandbox."""

import asyncio
import gzip
import json
import re
import threading
import time
from pathlib import Path

import pytest
from aiohttp import web
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.accuracy import Context, sandbox
from harness.accuracy.datasets import source
from harness.accuracy.humaneval import HumanEval, HumanEvalConfig, load_problems
from harness.accuracy.humaneval_evaluation import evaluate
from harness.engines import Server

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"
MIRROR = Path(__file__).parents[4] / "shared" / "data" / "humaneval" / "HumanEvalPlus.jsonl.gz"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    alphabet = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(models.BPE(alphabet, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=core, chat_template=TEMPLATE)
    made.save_pretrained(folder := tmp_path_factory.mktemp("tokenizer"))
    return folder, made


@pytest.fixture
def serve():
    """serve(reply) -> Server; reply(body) -> text, or (text, finish_reason)."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runners = []

    def start(reply):
        async def completions(request):
            answer = reply(await request.json())
            text, reason = answer if isinstance(answer, tuple) else (answer, "stop")
            choice = {"index": 0, "text": text, "finish_reason": reason}
            return web.json_response({"choices": [choice], "usage": {"completion_tokens": len(text)}})

        async def up():
            app = web.Application()
            app.router.add_post("/v1/completions", completions)
            runners.append(runner := web.AppRunner(app))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return runner.addresses[0][1]

        port = asyncio.run_coroutine_threadsafe(up(), loop).result(10)
        return Server(f"http://127.0.0.1:{port}", "m")

    yield start
    for runner in runners:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def context(tokenizer, tmp_path):
    def make(server, steps=None):
        def progress(done, total):
            if steps is not None:
                steps.append((done, total))

        return Context(server, str(tokenizer[0]), "pocket", 0, 8, tmp_path, progress)

    return make


def judge(problems, codes, tmp_path, plus=True):
    return evaluate(problems, codes, plus=plus, sandbox=sandbox.find(), work_dir=tmp_path, timeout_s=120)


def test_the_right_answer_scores_and_every_row_says_what_was_asked(serve, context, tokenizer):
    problems = load_problems(source("pocket", "humaneval", ""))
    bodies, steps = [], []

    def reply(body):
        bodies.append(body)
        text = tokenizer[1].decode(body["prompt"])
        problem = next(p for p in problems.values() if p["prompt"].strip() in text)
        return problem["prompt"] + problem["canonical_solution"]

    started = time.monotonic()
    outcome = HumanEval("humaneval", HumanEvalConfig(items=20)).run(context(serve(reply), steps))
    assert time.monotonic() - started < 8  # evalplus's own evaluate takes 20 s
    assert outcome.result["scores"] == {"pass@1": {"value": 1.0, "n": 20}, "pass@1_plus": {"value": 1.0, "n": 20}}
    assert outcome.result["counts"] == {"items": 20, "truncated": 0, "empty": 0, "unparsed": 0, "errors": 0}
    assert outcome.result["data"]["population"] == len(problems) and outcome.flags == []
    assert {len(row["prompt_hash"]) for row in outcome.rows} == {64} and len({r["id"] for r in outcome.rows}) == 20
    assert all(body["temperature"] == 0 and isinstance(body["prompt"][0], int) for body in bodies)
    assert steps == sorted(steps) and steps[-1][0] == steps[-1][1] == 25


def test_truncated_empty_and_unparsed_answers_are_counted(serve, context):
    replies = iter([("def cut(", "length"), "", "I do not know"])
    outcome = HumanEval("humaneval", HumanEvalConfig(items=3, plus=False)).run(
        context(serve(lambda body: next(replies)))
    )
    assert outcome.result["counts"] == {"items": 3, "truncated": 1, "empty": 1, "unparsed": 3, "errors": 0}
    assert outcome.result["scores"] == {"pass@1": {"value": 0.0, "n": 3}}
    assert {flag.code for flag in outcome.flags} == {"truncated", "unparsed"}


def test_plain_completion_continues_the_prompt(serve, context, tokenizer):
    problems = load_problems(source("pocket", "humaneval", ""))

    def reply(body):
        text = tokenizer[1].decode(body["prompt"])
        name = re.findall(r"def (\w+)\(", text)[-1]
        return next(p for p in problems.values() if p["entry_point"] == name)["canonical_solution"]

    outcome = HumanEval("humaneval", HumanEvalConfig(items=8, chat=False)).run(context(serve(reply)))
    assert outcome.result["scores"]["pass@1_plus"]["value"] == 1.0


def test_canonical_solutions_of_pocket_pass_and_wrong_ones_fail(tmp_path):
    problems = load_problems(source("pocket", "humaneval", ""))
    right = {name: p["prompt"] + p["canonical_solution"] for name, p in problems.items()}
    verdicts = judge(problems, right, tmp_path / "right")
    assert {(v.base, v.plus) for v in verdicts.values()} == {("pass", "pass")} and len(verdicts) == len(problems)
    wrong = {name: p["prompt"] + "    return 'wrong'\n" for name, p in problems.items()}
    assert {v.base for v in judge(problems, wrong, tmp_path / "wrong").values()} == {"fail"}


def problem(name, entry_point="double", body="return 2 * x", inputs=([1], [4])):
    return {
        "task_id": name, "prompt": f"def {entry_point}(x):\n", "entry_point": entry_point, "contract": "",
        "canonical_solution": f"    {body}\n", "base_input": list(inputs), "plus_input": [[0]], "atol": 0,
    }  # fmt: skip


HOSTILE = {
    "kills the evaluation": "import posix; posix.kill(posix.getppid(), 9)",
    "forks": "import posix\n    while True:\n        try: posix.fork()\n        except OSError: pass",
    "exits": "import posix; posix._exit(0)",
    "prints": 'import posix\n    for _ in range(100000): posix.write(1, b\'{"id": "x"}\' * 1000)',
    "forges": "import posix\n    for n in range(3, 50):\n        try: posix.write(n, b'x')\n        except: pass",
    "endless": "while True: pass",
    "memory": "y = bytearray(1 << 40)",
}


def test_hostile_code_fails_alone(tmp_path, monkeypatch):
    problems, codes = {}, {}
    for name, body in HOSTILE.items():
        for label, text in ((name, body), (f"after {name}", "return 2 * x")):
            problems[label] = problem(label)
            codes[label] = f"def double(x):\n    {text}\n    return None"
    started = time.monotonic()
    verdicts = judge(problems, codes, tmp_path)
    assert {name: v.plus for name, v in verdicts.items() if v.plus == "pass"}.keys() == {f"after {n}" for n in HOSTILE}
    # bubblewrap's worker can be killed, and is replaced; unshare's is the init of its namespace, which cannot
    expected = {"bubblewrap": "crash", "unshare": "fail"}[sandbox.find().kind]
    assert verdicts["kills the evaluation"].base == expected
    assert time.monotonic() - started < 45


def test_evalplus_own_oracle_of_find_zero_counts(tmp_path):
    text = "return sum(c * x ** i for i, c in enumerate(xs))"
    prompt = f"import math\ndef poly(xs, x):\n    {text}\ndef find_zero(xs):\n"
    task = {**problem("HumanEval/32", "find_zero", "return -xs[0] / xs[1]", ([[1, 2]], [[-6, 3]])), "prompt": prompt}
    task |= {"plus_input": [[[4, 2]]], "atol": 1e-4}
    right = judge({"r": {**task, "task_id": "r"}}, {"r": prompt + task["canonical_solution"]}, tmp_path / "r")
    wrong = judge({"w": {**task, "task_id": "w"}}, {"w": prompt + "    return 7.0\n"}, tmp_path / "w")
    broken = judge({"b": {**task, "task_id": "b"}}, {"b": "def find_zero(xs): return nothing(xs)"}, tmp_path / "b")
    assert (right["r"].base, right["r"].plus, wrong["w"].base, broken["b"].base) == ("pass", "pass", "fail", "fail")


@pytest.mark.skipif(not MIRROR.exists(), reason="no mirror of HumanEval+ here")
def test_canonical_solutions_of_the_real_set_pass(tmp_path):
    with gzip.open(MIRROR, "rt") as file:
        problems = {p["task_id"]: p for p in map(json.loads, file)}
    some = {name: problems[name] for name in list(problems)[28:44]}  # HumanEval/32 is one
    codes = {name: p["prompt"] + p["canonical_solution"] for name, p in some.items()}
    assert {v.plus for v in judge(some, codes, tmp_path).values()} == {"pass"}
