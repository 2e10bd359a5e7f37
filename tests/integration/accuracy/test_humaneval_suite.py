"""HumanEval against a small real server, evalplus and the sandbox."""

import re
from math import comb

import pytest
from aiohttp import web
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.accuracy import Context, sandbox
from harness.accuracy.datasets import source
from harness.accuracy.humaneval.evaluation import evaluate
from harness.accuracy.humaneval.published_rows import load_problems
from harness.accuracy.humaneval.sampling import sample_seed
from harness.accuracy.humaneval.suite import HumanEval, HumanEvalConfig
from harness.engines import Server
from harness.errors import CellError

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    alphabet = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(models.BPE(alphabet, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=core, chat_template=TEMPLATE)
    made.save_pretrained(folder := tmp_path_factory.mktemp("tokenizer"))
    return folder, made


@pytest.fixture
def serve(listen):
    """serve(reply) -> Server; reply(body) -> text, (text, finish_reason), or the whole answer."""

    def start(reply):
        async def completions(request):
            answer = reply(await request.json())
            if isinstance(answer, dict):
                return web.json_response(answer)
            text, reason = answer if isinstance(answer, tuple) else (answer, "stop")
            choice = {"index": 0, "text": text, "finish_reason": reason}
            return web.json_response({"choices": [choice], "usage": {"completion_tokens": len(text)}})

        return Server(f"http://127.0.0.1:{listen(web.post('/v1/completions', completions))}", "m")

    return start


@pytest.fixture
def context(tokenizer, tmp_path):
    def make(server, steps=None):
        def progress(done, total):
            if steps is not None:
                steps.append((done, total))

        return Context(server, str(tokenizer[0]), "pocket", 0, 8, tmp_path, progress)

    return make


def judge(problems, codes, tmp_path):
    answers = {name: [code] for name, code in codes.items()}
    verdicts = evaluate(problems, answers, plus=True, sandbox=sandbox.find(), work_dir=tmp_path, timeout_s=120)
    return {name: verdict for name, (verdict,) in verdicts.items()}


def test_the_right_answer_scores_and_every_row_says_what_was_asked(serve, context, tokenizer):
    problems = load_problems(source("pocket", "humaneval", ""))
    bodies, steps = [], []

    def reply(body):
        bodies.append(body)
        text = tokenizer[1].decode(body["prompt"])
        problem = next(p for p in problems.values() if p["prompt"].strip() in text)
        return problem["prompt"] + problem["canonical_solution"]

    outcome = HumanEval("humaneval", HumanEvalConfig(items=20)).run(context(serve(reply), steps))
    assert outcome.result.to_json()["scores"] == {
        "pass@1": {"value": 1.0, "n": 20},
        "pass@1_plus": {"value": 1.0, "n": 20},
    }
    assert outcome.result.to_json()["counts"] == {
        "items": 20,
        "truncated": 0,
        "empty": 0,
        "unparsed": 0,
        "errors": 0,
    }
    assert outcome.result.data.population == len(problems) and outcome.flags == []
    assert {len(row["prompt_hash"]) for row in outcome.rows} == {64} and len({r["id"] for r in outcome.rows}) == 20
    assert all(body["temperature"] == 0 and isinstance(body["prompt"][0], int) for body in bodies)
    assert not any({"seed", "top_p"} & set(body) for body in bodies) and "samples" not in outcome.rows[0]
    assert steps == sorted(steps) and steps[-1][0] == steps[-1][1] == 25


def test_truncated_empty_and_unparsed_answers_are_counted(serve, context):
    replies = iter([("def cut(", "length"), "", "I do not know"])
    outcome = HumanEval("humaneval", HumanEvalConfig(items=3, plus=False)).run(
        context(serve(lambda body: next(replies)))
    )
    assert outcome.result.to_json()["counts"] == {
        "items": 3,
        "truncated": 1,
        "empty": 1,
        "unparsed": 3,
        "errors": 0,
    }
    assert outcome.result.to_json()["scores"] == {"pass@1": {"value": 0.0, "n": 3}}
    assert {flag.code for flag in outcome.flags} == {"truncated", "unparsed"}


def test_pass_at_k_is_of_samples_that_differ_by_their_seed(serve, context, tokenizer):
    problems = load_problems(source("pocket", "humaneval", ""))
    bodies = []

    def reply(body):
        bodies.append(body)
        text = tokenizer[1].decode(body["prompt"])
        problem = next(p for p in problems.values() if p["prompt"].strip() in text)
        right = body["seed"] % 2 == 0
        return problem["prompt"] + (problem["canonical_solution"] if right else "    return 'wrong'\n")

    config = HumanEvalConfig(items=5, samples=6, temperature=0.8, k=[3, 1])
    outcome = HumanEval("humaneval", config).run(context(serve(reply)))
    assert len(bodies) == 30 and len({body["seed"] for body in bodies}) == 30
    assert all((body["temperature"], body["top_p"]) == (0.8, 0.95) for body in bodies)
    assert list(outcome.result.to_json()["scores"]) == ["pass@1", "pass@3", "pass@1_plus", "pass@3_plus"]
    assert outcome.result.primary == "pass@1" and outcome.result.counts.answers == 30
    assert "6 samples an item" in outcome.result.details["decoding"]
    for row in outcome.rows:
        seeds = [sample_seed(0, row["id"], index) for index in range(6)]
        assert [s["status"] == "pass" for s in row["samples"]] == [seed % 2 == 0 for seed in seeds]
        right = sum(seed % 2 == 0 for seed in seeds)
        assert row["scores"]["pass@1"] == pytest.approx(right / 6)
        assert row["scores"]["pass@3_plus"] == pytest.approx(1 - comb(6 - right, 3) / comb(6, 3))
        assert row["response"] == row["samples"][0]["response"] and row["solution"] == row["samples"][0]["solution"]
    again = HumanEval("humaneval", config).run(context(serve(reply)))
    assert again.rows == outcome.rows


@pytest.mark.parametrize("answer", [{}, {"choices": [{}]}, {"choices": [{"text": 3}]}, {"choices": "x"}])
def test_an_answer_that_is_no_completion_is_an_error_that_says_so(serve, context, answer):
    with pytest.raises(CellError, match="an answer that cannot be read"):
        HumanEval("humaneval", HumanEvalConfig(items=1)).run(context(serve(lambda body: answer)))


def test_plain_completion_continues_the_prompt(serve, context, tokenizer):
    problems = load_problems(source("pocket", "humaneval", ""))

    def reply(body):
        text = tokenizer[1].decode(body["prompt"])
        name = re.findall(r"def (\w+)\(", text)[-1]
        return next(p for p in problems.values() if p["entry_point"] == name)["canonical_solution"]

    outcome = HumanEval("humaneval", HumanEvalConfig(items=8, chat=False)).run(context(serve(reply)))
    assert outcome.result.scores["pass@1_plus"].value == 1.0


def test_canonical_solutions_of_pocket_pass_and_wrong_ones_fail(tmp_path):
    problems = load_problems(source("pocket", "humaneval", ""))
    right = {name: p["prompt"] + p["canonical_solution"] for name, p in problems.items()}
    verdicts = judge(problems, right, tmp_path / "right")
    assert {(v.base, v.plus) for v in verdicts.values()} == {("pass", "pass")} and len(verdicts) == len(problems)
    wrong = {name: p["prompt"] + "    return 'wrong'\n" for name, p in problems.items()}
    assert {v.base for v in judge(problems, wrong, tmp_path / "wrong").values()} == {"fail"}
