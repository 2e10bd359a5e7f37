"""lm-eval's whole path, against a small real server whose answers are a function of the prompt's token ids."""

import asyncio
import hashlib
import itertools
import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from harness.accuracy import Context
from harness.accuracy.lm_eval import Config, LmEval
from harness.engines import Server
from harness.errors import CellError
from harness.paths import scenarios_dir

POCKET = scenarios_dir() / "pocket"
CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
GSM8K = [json.loads(line) for line in (POCKET / "gsm8k" / "test.jsonl").read_text().splitlines()]
NUMBERS = {doc["question"]: doc["answer"].rsplit("#### ", 1)[1] for doc in GSM8K}


def build_tokenizer(directory: Path) -> str:
    """A byte-level BPE of the pocket suites' words, in which `` A`` is one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = [path.read_text() for path in sorted((POCKET / "mmlu" / "dev").iterdir())]
    bpe.train_from_iterator([*text, *(f"Answer: {letter}\n" * 200 for letter in "ABCD")], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory) -> str:
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def hashed(*parts) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:4])


def logprob(prompt: list[int], token: int) -> float:
    return -1.0 - hashed(prompt, token) % 10_000 / 1000


@dataclass
class SmallServer:
    """Speaks `/v1/completions`. `knows`: what it understands beyond the bare protocol."""

    tokenizer: str
    knows: set[str] = field(default_factory=lambda: {"logprob_token_ids", "echo", "stop"})
    refuses: set[str] = field(default_factory=set)  # body keys that it answers with HTTP 400
    context_length: int | None = 4096
    bodies: list[dict] = field(default_factory=list)
    port: int = 0

    def __post_init__(self):
        from transformers import AutoTokenizer

        self.decoder = AutoTokenizer.from_pretrained(self.tokenizer)

    @property
    def server(self) -> Server:
        return Server(f"http://127.0.0.1:{self.port}", "tiny")

    async def models(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "tiny", "max_model_len": self.context_length}]})

    async def completions(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        prompt = body["prompt"][0] if isinstance(body["prompt"][0], list) else body["prompt"]
        if refused := self.refuses & body.keys():
            return web.json_response({"error": f"unknown field {refused}"}, status=400)
        if self.context_length and len(prompt) + body["max_tokens"] > self.context_length:
            return web.json_response({"error": "prompt too long"}, status=400)
        choice = self.score(body, prompt) if body.get("logprobs") else self.generate(body, prompt)
        return web.json_response({"choices": [{"index": 0, **choice}], "usage": {"completion_tokens": 7}})

    def score(self, body: dict, prompt: list[int]) -> dict:
        best = {"token_id:0": -0.5}
        if body.get("echo") and "echo" in self.knows:
            own = [None] + [logprob(prompt[:n], prompt[n]) for n in range(1, len(prompt))] + [-0.5]
            top = [None] + [{"best": -0.5, f"t{n}": value} for n, value in enumerate(own[1:])]
            return {"text": "", "logprobs": {"token_logprobs": own, "top_logprobs": top}}
        ids = body.get("logprob_token_ids", []) if "logprob_token_ids" in self.knows else []
        top = best | {f"token_id:{token}": logprob(prompt, token) for token in ids}
        return {"text": "", "logprobs": {"token_logprobs": [-0.5], "top_logprobs": [top]}}

    def generate(self, body: dict, prompt: list[int]) -> dict:
        text, kind = answer_to(self.decoder.decode(prompt))
        reason = "length" if kind == "endless" else "stop"
        if "stop" in self.knows:
            text = re.split("|".join(re.escape(stop) for stop in body["stop"]), text)[0]
        return {"text": text, "finish_reason": reason, "logprobs": None}


def last_question(prompt: str) -> str:
    return re.findall(r"Question: (.*?)\s*Answer:", prompt, re.DOTALL)[-1]


def answer_to(prompt: str) -> tuple[str, str]:
    """What the server says, and of which kind it is: known to the tests, so that they know every score."""
    question = last_question(prompt)
    number = NUMBERS[question]
    kind = ("right", "not_strict", "wrong", "no_number", "endless")[hashed(question) % 5]
    text = {
        "right": f" We count.\n#### {number}",
        "not_strict": f" The answer is {number}.",
        "wrong": " So it is\n#### 123456",
        "no_number": " I cannot say",
        "endless": f" First {number} then {number}1 and",
    }[kind]
    return (text if kind == "endless" else text + "\n\nQuestion: And 99?"), kind


@pytest.fixture
def small_server(tokenizer):
    state, ready, loop = SmallServer(tokenizer), threading.Event(), asyncio.new_event_loop()

    async def start():
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/v1/models", state.models)
        app.router.add_post("/v1/completions", state.completions)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        state.port = site._server.sockets[0].getsockname()[1]
        ready.set()
        return runner

    def serve():
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield state
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def ask(small_server, tmp_path):
    def run(task="mmlu", data="mmlu", seed=0, seen=None, **settings):
        work_dir = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        work_dir.mkdir()
        suite = LmEval(task, Config(**{"task": task, "data": data, "fewshot": 5, **settings}))
        context = Context(
            small_server.server,
            small_server.tokenizer,
            "pocket",
            seed,
            8,
            work_dir,
            (Seen() if seen is None else seen).progress,
        )
        return suite.run(context)

    return run


class Seen(list):
    def progress(self, done: int, total: int) -> None:
        self.append((done, total))


def stock(small_server, suite: str, items: int, tmp_path: Path, **model_args) -> dict:
    """lm-eval's own local-completions on the same items: its logged samples by row id and filter."""
    from lm_eval import simple_evaluate

    from harness.accuracy import lm_eval_tasks
    from harness.accuracy.datasets import source

    manager, tasks = lm_eval_tasks.load_tasks(suite, suite, source("pocket", suite, ""), tmp_path / "stock")
    chosen = lm_eval_tasks.choose_items({name: len(t.eval_docs) for name, t in tasks.items()}, items, f"{suite}:0")
    report = simple_evaluate(
        model="local-completions",
        model_args={
            "model": "tiny",
            "base_url": small_server.server.base_url + "/v1/completions",
            "tokenizer": small_server.tokenizer,
            "tokenizer_backend": "huggingface",
            "num_concurrent": 8,
            "max_length": small_server.context_length,
            **model_args,
        },
        tasks=[tasks[name] for name in chosen],
        task_manager=manager,
        num_fewshot=5,
        samples=chosen,
        bootstrap_iters=0,
    )
    return {(f"{t}/{s['doc_id']}", s["filter"]): s for t, logged in report["samples"].items() for s in logged}


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
    result = outcome.result
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
    assert outcome.result["details"]["multiple_choice"] == "one request a choice"
    for ours, theirs in zip(outcome.rows, exact.rows, strict=True):
        assert ours["logprobs"] == pytest.approx(theirs["logprobs"]) and ours["scores"] == theirs["scores"]


def test_a_server_without_log_probabilities_is_an_error_with_advice(small_server, ask):
    small_server.knows.clear()
    with pytest.raises(CellError, match="cannot answer multiple choice; serve the model with vLLM"):
        ask(items=3)


def test_gsm8k_scores_and_counts_are_those_of_the_answers(small_server, ask, tmp_path):
    outcome = ask("gsm8k", "gsm8k", items=40, max_tokens=99)
    kinds = {}
    for row in outcome.rows:
        question = GSM8K[int(row["id"].split("/")[1])]["question"]
        text, kind = answer_to(f"Question: {question}\nAnswer:")
        kinds[row["id"]] = kind
        assert row["response"] == text.split("Question:")[0]
        assert row["finish_reason"] == ("length" if kind == "endless" else "stop") and row["completion_tokens"] == 7
        assert row["scores"] == {
            "exact_match_strict": float(kind == "right"),
            "exact_match_flexible": float(kind in ("right", "not_strict")),
        }
    of = list(kinds.values()).count
    assert outcome.result["primary"] == "exact_match_flexible"
    counts = {"items": 40, "truncated": of("endless"), "empty": 0, "unparsed": of("no_number"), "errors": 0}
    assert outcome.result["counts"] == counts
    assert outcome.result["scores"]["exact_match_strict"] == {"value": of("right") / 40, "n": 40}
    assert {flag.code for flag in outcome.flags} == {"truncated", "unparsed", "partial"}
    for body in small_server.bodies:
        assert (body["max_tokens"], body["temperature"]) == (99, 0)
        assert body["stop"] == ["Question:", "</s>", "<|im_end|>"]
    theirs = stock(small_server, "gsm8k", 40, tmp_path)
    for row in outcome.rows:
        for name, extracted in row["extracted"].items():
            assert extracted == theirs[row["id"], name]["filtered_resps"][0]
            assert row["prompt_hash"] == theirs[row["id"], name]["prompt_hash"]


def test_answers_are_cut_at_stop_strings_that_the_server_left(small_server, ask):
    cut_by_server = ask("gsm8k", "gsm8k", items=10)
    small_server.knows.discard("stop")
    cut_here = ask("gsm8k", "gsm8k", items=10)
    assert cut_here.rows == cut_by_server.rows


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
    assert outcome.result["counts"]["items"] == 5 and outcome.result["details"]["chat_template"] is True


def test_prompts_longer_than_the_context_lose_their_beginning_as_in_lm_eval(small_server, ask, tmp_path):
    small_server.context_length = 330
    outcome = ask(items=20)
    (flag,) = [flag for flag in outcome.flags if flag.code == "prompt_cut"]
    assert 0 < outcome.result["details"]["prompts_cut"] <= 20 and "330 tokens" in flag.message
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
    assert outcome.result["details"]["bos"] is True


def test_a_wrong_metric_is_refused_before_anything_is_asked(small_server, ask):
    with pytest.raises(CellError, match=r"suites\.gsm8k\.metric: .* no score 'exact_match_flex'; did you mean"):
        ask("gsm8k", "gsm8k", items=3, metric="exact_match_flex")
    assert small_server.bodies == []
    assert ask("gsm8k", "gsm8k", items=3, metric="exact_match_strict").result["primary"] == "exact_match_strict"


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

    from harness.accuracy.lm_eval_model import ServedModel

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
    from harness.accuracy.lm_eval_model import ServedModel, stop_strings

    assert stop_strings({"until": "\n", "do_sample": False}, "</s>") == ("\n", "</s>")
    assert stop_strings({"until": ["a", "", "a"]}, None) == ("a",)
    with pytest.raises(CellError, match="greedy"):
        stop_strings({"until": [], "do_sample": True, "temperature": 0.7}, None)
    with pytest.raises(CellError, match="perplexity"):
        ServedModel.loglikelihood_rolling(None, [])
