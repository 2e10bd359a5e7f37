"""AlpacaEval's answers and their judge, against a small real server; alpaca-eval itself does the comparing."""

import json
import logging
import math
import os
import re
from dataclasses import replace

import pytest
from aiohttp import web
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.accuracy import Context
from harness.accuracy.alpaca_eval.annotator import preferences
from harness.accuracy.alpaca_eval.calibration import calibrate
from harness.accuracy.alpaca_eval.judge import run_judge
from harness.accuracy.alpaca_eval.judge_prompts import Pair
from harness.accuracy.alpaca_eval.references import Reference
from harness.accuracy.alpaca_eval.suite import AlpacaEval, AlpacaEvalConfig
from harness.config.schema import Judge
from harness.engines import Server
from harness.errors import CellError
from harness.records.item import Item
from harness.records.judge_details import Calibration, Standing

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}<|assistant|>\n"
ITEMS = [
    Item(
        id=f"a/{n}", doc_hash=str(n), prompt_hash="p", instruction=f"Question number {n}?",
        response=f"Answer number {n}, as good and as long as it should be, with a clear end.",
        finish_reason="stop", completion_tokens=9,
    )
    for n in range(12)
]  # fmt: skip


def said(text, items=ITEMS):
    """The items with other responses: `text` of each one's."""
    return [replace(item, response=text(item.response)) for item in items]


@pytest.fixture
def serve(listen):
    """serve(reply) -> Server; reply(path, body) -> the `choices[0]` of the answer, or an HTTP status."""

    def start(reply):
        async def handle(request):
            choice = reply(request.path, await request.json())
            if isinstance(choice, int):
                return web.json_response({"error": "no"}, status=choice)
            usage = {"completion_tokens": 1, "total_tokens": 9}
            return web.json_response({"choices": [{"index": 0, "finish_reason": "stop", **choice}], "usage": usage})

        port = listen(web.post("/v1/completions", handle), web.post("/v1/chat/completions", handle))
        return Server(f"http://127.0.0.1:{port}", "m")

    return start


@pytest.fixture
def context(tmp_path):
    def make(server, tokenizer="none"):
        return Context(server, tokenizer, "pocket", 0, 8, tmp_path, lambda done, total: None)

    return make


def parts(path, body):
    """(instruction, answer m, answer M) of a judge's prompt, in either style."""
    if path.endswith("chat/completions"):
        text = body["messages"][-1]["content"]
        assert body["messages"][0]["role"] == "system" and body["top_logprobs"] == 5
        instruction = re.search(r'"instruction": """(.*?)"""', text, re.S)[1]
        return instruction, *re.findall(r'"output": """(.*?)"""', text, re.S)
    found = re.findall(r"Question: (.*)\nAnswer m: (.*)\nAnswer M: (.*)\nBetter answer:", body["prompt"])
    assert body["max_tokens"] == 1 and body["logprobs"] == 5 and body["prompt"].endswith("Better answer:")
    return found[-1]


def says(path, p_first):
    """A choice whose first token is m with p_first, M with the rest."""
    logs = {"m": math.log(max(p_first, 1e-9)), "M": math.log(max(1 - p_first, 1e-9)), "The": -20.0}
    text = max(logs, key=logs.get)
    if path.endswith("chat/completions"):
        top = [{"token": token, "logprob": value} for token, value in logs.items()]
        content = [{"token": text, "logprob": logs[text], "top_logprobs": top}]
        return {"message": {"role": "assistant", "content": text}, "logprobs": {"content": content}}
    spaced = {f" {token}": value for token, value in logs.items()}
    return {"text": f" {text}", "logprobs": {"tokens": [f" {text}"], "top_logprobs": [spaced]}}


def quality(instruction, answer):
    """The number of the question in the answer counts most, then the order of its words, then the length."""
    number = re.search(r"\d+", instruction)
    right = bool(number) and re.search(rf"\b{number[0]}\b", answer) is not None
    return (right, "as good and as long" in answer, len(answer))


def good_judge(path, body, sure=0.9, bias=0.0):
    instruction, first, second = parts(path, body)
    better = quality(instruction, first) > quality(instruction, second)
    return says(path, min(1.0, (sure if better else 1 - sure) + bias))


def published(items):
    return [Reference(item.id, item.group, item.doc_hash, item.instruction, item.response) for item in items]


def judged(context, judge, answers, references, weak=()):
    """Calibrated on the reference's answers, then asked about the others."""
    calibration = calibrate(
        context, judge, published(references), 0, published(weak), Standing("s", "w", (90.0, 50.0), "here")
    )
    return run_judge(context, judge, answers, references, calibration=calibration)


@pytest.mark.parametrize("style", ["chat", "few_shot"])
def test_a_good_judge_is_believed_and_finds_the_better_answers(serve, context, style):
    better = said(lambda text: text + " And more.", ITEMS[:8])
    outcome = judged(context(serve(good_judge)), Judge(model="j", prompt=style), better, ITEMS)
    details = outcome.result.details
    assert outcome.result.to_json()["scores"]["win_rate"] == {"value": pytest.approx(0.9), "n": 8}
    assert [row["scores"]["win_rate"] for row in outcome.rows] == pytest.approx([0.9] * 8)
    assert details["calibration"]["accuracy"] == 1.0 and details["calibration"]["low"] > 0.5
    assert details["calibration"]["pairs"] == 36 and details["calibration"]["instructions"] == 12
    assert list(details["calibration"]["by_kind"]) == ["other", "truncated", "shuffled"]
    assert details["parse_rate"] == 1.0 and outcome.flags == []
    assert details["length_difference"] == 10 and details["length_unit"] == "characters"
    assert details["alpaca_eval"]["win_rate"] == pytest.approx(90) and details["alpaca_eval"]["n_total"] == 8


@pytest.mark.parametrize("style", ["chat", "few_shot"])
def test_liking_a_position_cancels_out_and_is_reported(serve, context, style):
    judge = Judge(model="j", prompt=style)
    worse = said(lambda text: text[:-20])
    only_first = serve(lambda path, body: says(path, 0.95))
    outcome = judged(context(only_first), judge, worse, ITEMS)
    assert outcome.result.scores["win_rate"].value == pytest.approx(0.5)
    calibration = outcome.result.details["calibration"]
    assert calibration["position_bias"] == 0.5 and calibration["position_bias_low"] > 0.2
    assert [(flag.code, flag.level) for flag in outcome.flags] == [("judge_at_chance", "invalid")]
    biased = serve(lambda path, body: good_judge(path, body, sure=0.7, bias=0.25))
    assert calibrate(context(biased), judge, published(ITEMS), 0).accuracy == 1.0


def test_a_judge_that_only_likes_length_is_found_out(serve, context):
    def longest(path, body):
        _, first, second = parts(path, body)
        return says(path, 0.5 if len(first) == len(second) else 0.9 if len(first) > len(second) else 0.1)

    weak = said(lambda text: "No.")
    longer = said(lambda text: text + " And on and on.")
    outcome = judged(context(serve(longest)), Judge(model="j", prompt="few_shot"), longer, ITEMS, weak)
    kinds = outcome.result.details["calibration"]["by_kind"]
    assert kinds["truncated"]["accuracy"] == kinds["published"]["accuracy"] == 1.0
    assert kinds["shuffled"]["accuracy"] == 0.5 and outcome.result.scores["win_rate"].value > 0.8
    [flag] = outcome.flags
    assert (flag.code, flag.level) == ("judge_at_chance", "invalid") and "length does not give away" in flag.message


def test_a_kind_that_the_judge_cannot_tell_is_said(serve, context):
    """A judge that sees which answer belongs to the question, and nothing of how it is written."""

    def on_topic(path, body):
        instruction, first, second = parts(path, body)
        here, there = (quality(instruction, answer)[0] for answer in (first, second))
        return says(path, 0.5 if here == there else 0.9 if here else 0.1)

    good = [replace(item, response=f"Answer {n}. " + "word " * n + "end here of this") for n, item in enumerate(ITEMS)]
    calibration = calibrate(context(serve(on_topic)), Judge(model="j", prompt="few_shot"), published(good), 0)
    assert calibration.by_kind["other"].accuracy > 0.9 and calibration.by_kind["shuffled"].low < 0.5
    outcome = run_judge(
        context(serve(on_topic)), Judge(model="j", prompt="few_shot"), good, ITEMS, calibration=calibration
    )
    assert [(flag.code, flag.level) for flag in outcome.flags] == [("judge_weak_kind", "caution")]
    assert "shuffled" in outcome.flags[0].message


def test_a_judge_that_names_neither_is_counted(serve, context):
    def rambling(path, body):
        if "Question number 3?" in body["prompt"].rpartition("Question: ")[2]:
            return {"text": " I", "logprobs": {"top_logprobs": [{" I": -0.1, " think": -2.0}]}}
        return good_judge(path, body)

    variant = said(lambda text: text + " And more.")
    outcome = judged(context(serve(rambling)), Judge(model="j", prompt="few_shot"), variant, ITEMS)
    assert outcome.result.counts.unparsed == 1 and outcome.result.scores["win_rate"].n == 11
    assert outcome.rows[3]["scores"] == {} and outcome.result.details["parse_rate"] == pytest.approx(22 / 24)
    assert [(flag.code, flag.level) for flag in outcome.flags] == [("unparsed", "caution")]


@pytest.mark.parametrize("style", ["chat", "few_shot"])
def test_a_judge_that_never_names_one_has_no_score_and_is_invalid(serve, context, style):
    def silent(path, body):
        return {"text": " ok", "message": {"content": " ok"}}

    variant = said(lambda text: text + " And more.")
    outcome = judged(context(serve(silent)), Judge(model="j", prompt=style), variant, ITEMS)
    assert outcome.result.scores == {} and outcome.result.counts.unparsed == len(ITEMS)
    assert outcome.result.details["parse_rate"] == 0
    assert {flag.code for flag in outcome.flags if flag.level == "invalid"} == {"judge_at_chance", "unparsed"}


def test_equal_answers_are_a_tie_and_cost_nothing(serve, context):
    calls = []

    def counting(path, body):
        calls.append(body)
        return good_judge(path, body)

    known = Calibration(1.0, 0.9, 1.0, 40)
    judge = Judge(model="j", prompt="few_shot")
    outcome = run_judge(context(serve(counting)), judge, ITEMS, ITEMS, calibration=known)
    assert outcome.result.scores["win_rate"].value == 0.5 and calls == []
    assert outcome.result.counts.equal == 12


def test_pairs_keep_their_order_when_instructions_repeat(serve, tmp_path):
    pairs = [Pair("Question number 1?", f"Answer {n}", f"Answer {2 - n}") for n in (1, 0, 2, 0)]
    found = preferences(serve(good_judge), pairs, "few_shot", concurrency=4, work_dir=tmp_path)
    assert found == pytest.approx([0.5, 0.1, 0.1, 0.1])  # Answer 1 is right; equal; else equally long and wrong


def test_questions_that_drifted_are_an_error(serve, context):
    changed = [replace(ITEMS[0], doc_hash="other")]
    with pytest.raises(CellError, match="drifted"):
        judged(context(serve(good_judge)), Judge(model="j"), changed, ITEMS)


def test_a_judge_that_refuses_fails_the_cell(serve, context):
    with pytest.raises(CellError, match="refused"):
        judged(context(serve(lambda path, body: 400)), Judge(model="j"), ITEMS, ITEMS)


def test_alpaca_eval_leaves_the_process_as_it_was(serve, context, monkeypatch, tmp_path, capfd):
    level, before = logging.getLogger().level, dict(os.environ)
    judged(context(serve(good_judge)), Judge(model="j", prompt="few_shot"), ITEMS[:4], ITEMS)
    assert logging.getLogger().level == level and dict(os.environ) == before
    assert capfd.readouterr() == ("", "")


def test_answers_then_judgement_through_the_suite(serve, context, tmp_path):
    alphabet = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(models.BPE(alphabet, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, chat_template=TEMPLATE)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    asked = []

    def answering(path, body):
        asked.append(tokenizer.decode(body["prompt"]))
        return {"text": f" Answer {len(asked)}", "finish_reason": "length"}

    suite = AlpacaEval("alpaca", AlpacaEvalConfig(items=6, max_tokens=16))
    answers = suite.run(context(serve(answering), str(tmp_path / "tokenizer")))
    assert all(any(row["instruction"] in text for text in asked) for row in answers.rows)
    assert all(text.startswith("<|user|>\n") and text.endswith("<|assistant|>") for text in asked)
    assert answers.result.counts.truncated == 6 and all(row["scores"] == {} for row in answers.rows)
    json.dumps(answers.rows)
    calls = []

    def longer(path, body):
        calls.append(path)
        _, first, second = parts(path, body)
        return says(path, 0.8 if len(first) > len(second) else 0.2)

    given = [Item.from_json(row) for row in answers.rows]
    baseline = said(lambda text: text + " with more to say", given)
    judging = context(serve(longer))
    outcome = suite.judge(judging, Judge(model="j", prompt="few_shot"), given, baseline)
    first_cell = len(calls)
    assert outcome.result.scores["win_rate"].value == pytest.approx(0.2)
    assert outcome.result.data.population > 6 and outcome.result.details["reference"] == "baseline"
    suite.judge(judging, Judge(model="j", prompt="few_shot"), given, baseline)
    assert len(calls) - first_cell == 12 < first_cell  # calibrated once
    json.dumps(outcome.result.to_json()), json.dumps(outcome.rows)
