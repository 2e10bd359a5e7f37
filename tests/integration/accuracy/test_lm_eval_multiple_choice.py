"""Multiple choice through lm-eval: one request a question, and item by item what lm-eval's own client gets."""

import itertools
import json

import pytest

from harness.accuracy import generation
from harness.errors import CellError
from harness.records.cell import Cell
from harness.records.record import Record
from harness.records.record_check import rows_fault
from tests.integration.accuracy.small_lm_server import Seen, stock


def test_mmlu_is_one_request_a_question_and_equals_stock_lm_eval(small_server, ask, tmp_path):
    seen = Seen()
    outcome = ask(items=30, seen=seen)
    assert len(small_server.bodies) == 31  # one asks whether the server knows the parameter
    prompts = [body["prompt"] for body in small_server.bodies[1:]]
    texts = [small_server.decoder.decode(prompt) for prompt in prompts]
    firsts = [text.split("\n", 1)[0] for text in texts]
    runs = 1 + sum(one != other for one, other in itertools.pairwise(firsts))
    assert runs <= len(set(firsts)) + 8, "subjects stay together, but for the requests in flight"
    assert seen[-1] == (30, 30) and [done for done, _ in seen] == sorted(done for done, _ in seen)
    theirs = stock(small_server, "mmlu", 30, tmp_path)
    assert {row["id"] for row in outcome.rows} == {key for key, _ in theirs}
    for row in outcome.rows:
        sample = theirs[row["id"], "none"]
        assert row["scores"] == {"acc": sample["acc"]}
        assert list(row["logprobs"].values()) == pytest.approx([resp[0][0] for resp in sample["resps"]])
        assert (row["doc_hash"], row["prompt_hash"]) == (sample["doc_hash"], sample["prompt_hash"])
    result = outcome.result.to_json()
    assert result["primary"] == "acc" and result["counts"]["items"] == 30 and result["data"]["population"] == 100
    assert result["scores"]["acc"]["value"] == pytest.approx(sum(s["acc"] for s in theirs.values()) / 30)
    assert [flag.code for flag in outcome.flags] == ["partial"]
    details = result["details"]
    assert details["multiple_choice"] == "one request a question" and details["fewshot"] == 5
    assert sum(group["n"] for group in details["groups"].values()) == 30
    assert set(details["categories"]) == {"stem", "humanities", "social_sciences", "other"}
    assert json.loads(json.dumps([result, outcome.rows])) == [result, outcome.rows]


@pytest.mark.parametrize("manner", ["ignores", "refuses"])
def test_a_server_that_does_not_know_token_ids_gets_the_exact_fallback(small_server, ask, manner):
    exact = ask(items=12)
    small_server.bodies.clear()
    if manner == "ignores":
        small_server.knows.discard("logprob_token_ids")
    else:
        small_server.refuses.add("logprob_token_ids")
    outcome = ask(items=12)
    assert sum(body.get("echo", False) for body in small_server.bodies) == 48 == len(small_server.bodies) - 1
    assert outcome.result.details["multiple_choice"] == "one request a choice"
    for ours, theirs in zip(outcome.rows, exact.rows, strict=True):
        assert ours["logprobs"] == pytest.approx(theirs["logprobs"]) and ours["scores"] == theirs["scores"]


@pytest.mark.parametrize("manner", ["one request a question", "one request a choice"])
def test_an_answer_that_cannot_be_read_costs_one_item(small_server, ask, monkeypatch, manner):
    monkeypatch.setattr(generation, "pause_s", lambda *_: 0.0)
    if manner == "one request a choice":
        small_server.knows.discard("logprob_token_ids")
    whole = ask(items=12)
    bad, *more = [small_server.bodies[at]["prompt"] for at in (-1, -5, -9)]
    small_server.broken = lambda prompt: prompt == bad
    outcome = ask(items=12)
    assert outcome.result.details["multiple_choice"] == manner
    (wrong,) = [row for row in outcome.rows if row["finish_reason"] == "unreadable"]
    assert (wrong["scores"], wrong["response"], "logprobs" in wrong) == ({"acc": 0.0}, "", False)
    assert [row for row in outcome.rows if row is not wrong] == [r for r in whole.rows if r["id"] != wrong["id"]]
    assert outcome.result.to_json()["counts"] | {"errors": 0} == whole.result.to_json()["counts"]
    assert outcome.result.counts.errors == 1
    assert outcome.result.scores["acc"].n == 12 and rows_fault(record(outcome), outcome.rows) is None
    assert {flag.code: flag.level for flag in outcome.flags}["unreadable"] == "invalid"  # 1 of 12 is more than 1 %
    small_server.broken = lambda prompt: prompt in (bad, *more)
    with pytest.raises(CellError, match=r"failed 4 times.*choices is '5', not a list"):
        ask(items=12)


def record(outcome):
    return Record(cell=Cell("", "accuracy"), result=outcome.result)


def test_a_server_without_log_probabilities_is_an_error_with_advice(small_server, ask):
    small_server.knows.clear()
    with pytest.raises(CellError, match="cannot answer multiple choice; serve the model with vLLM"):
        ask(items=3)


def test_every_variant_is_asked_the_same_in_the_same_order(small_server, ask):
    one = ask(items=20)
    bodies = list(small_server.bodies)
    small_server.bodies.clear()
    other = ask(items=20)
    assert one.rows == other.rows
    assert sorted(map(json.dumps, bodies)) == sorted(map(json.dumps, small_server.bodies))
    assert {row["id"] for row in ask(items=20, seed=1).rows} != {row["id"] for row in one.rows}


def test_chat_template_makes_the_prompt(small_server, ask):
    ask("gsm8k", "gsm8k", items=3, fewshot=2, chat_template=True)
    for body in small_server.bodies:
        text = small_server.decoder.decode(body["prompt"])
        assert text.startswith("<|user|>Question:") and text.endswith("Answer:<|end|><|assistant|>")
        assert text.count("<|assistant|>") == 3, "examples are turns of the dialogue"
    small_server.bodies.clear()
    outcome = ask(items=5, fewshot=1, chat_template=True)
    assert small_server.decoder.decode(small_server.bodies[-1]["prompt"]).endswith("<|assistant|>")
    assert outcome.result.counts.items == 5 and outcome.result.details["chat_template"] is True


def test_prompts_longer_than_the_context_lose_their_beginning_as_in_lm_eval(small_server, ask, tmp_path):
    small_server.context_length = 330
    outcome = ask(items=20)
    (flag,) = [flag for flag in outcome.flags if flag.code == "prompt_cut"]
    assert 0 < outcome.result.details["prompts_cut"] <= 20 and "330 tokens" in flag.message
    theirs = stock(small_server, "mmlu", 20, tmp_path)
    for row in outcome.rows:
        want = [resp[0][0] for resp in theirs[row["id"], "none"]["resps"]]
        assert list(row["logprobs"].values()) == pytest.approx(want)
    small_server.context_length = 400
    ask("gsm8k", "gsm8k", items=3, max_tokens=300)
    assert {len(body["prompt"]) for body in small_server.bodies[-3:]} == {99}  # lm-eval leaves one token unused
    with pytest.raises(CellError, match="no room for 501"):
        ask("gsm8k", "gsm8k", items=3, max_tokens=500)


def test_bos_is_the_tokenizers_own_choice_unless_told(small_server, ask):
    ask(items=2)
    assert all(body["prompt"][0] != small_server.decoder.bos_token_id for body in small_server.bodies)
    small_server.bodies.clear()
    outcome = ask(items=2, add_bos=True)
    assert all(body["prompt"][0] == small_server.decoder.bos_token_id for body in small_server.bodies)
    assert outcome.result.details["bos"] is True


def test_what_fails_inside_lm_eval_fails_the_cell_only(small_server, ask):
    with pytest.raises(CellError, match=r"lm-eval failed on task mmlu: .*exceeds the 5 that are available"):
        ask(items=3, fewshot=6)  # preflight would have said so
    assert small_server.bodies == []


def test_the_run_is_silent_and_puts_settings_back(small_server, ask, capfd):
    import datasets

    before = datasets.is_progress_bar_enabled()
    ask(items=3)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""
    assert datasets.is_progress_bar_enabled() == before


def test_token_boundaries_are_lm_evals(small_server):
    from lm_eval.api.model import TemplateLM

    from harness.accuracy.lm_eval.model import ServedModel

    contexts = ["Answer:", "Answer: ", "A thing\n\nAnswer:  \n", "the ans", "", "   "]
    continuations = [" A", "B", " because of it", "wer is", "\nno"]
    for add_bos in (False, True):
        model = ServedModel(small_server.server, small_server.tokenizer, max_tokens=9, concurrency=1, add_bos=add_bos)
        questions = model.questions(contexts, [continuations] * len(contexts))
        for context, question in zip(contexts[:-2], questions, strict=False):
            for continuation, ids in zip(continuations, question.choices, strict=True):
                assert (question.context, ids) == TemplateLM._encode_pair(model, context, continuation)
        for question in questions[-2:]:  # nothing stands before: BOS does
            assert question.context == [model.prefix_token_id] and all(question.choices)


def test_sampling_and_perplexity_tasks_are_refused():
    from harness.accuracy.lm_eval.generations import stop_strings
    from harness.accuracy.lm_eval.model import ServedModel

    assert stop_strings({"until": "\n", "do_sample": False}, "</s>") == ("\n", "</s>")
    assert stop_strings({"until": ["a", "", "a"]}, None) == ("a",)
    with pytest.raises(CellError, match="greedy"):
        stop_strings({"until": [], "do_sample": True, "temperature": 0.7}, None)
    with pytest.raises(CellError, match="perplexity"):
        ServedModel.loglikelihood_rolling(None, [])
