"""A small real server whose answers are a function of the prompt's token ids, and lm-eval's own client for it."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from harness.engines import Server
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
    broken: Callable[[list[int]], bool] = lambda prompt: False  # prompts that it answers with something else
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
        if self.broken(prompt):
            return web.json_response({"choices": 5})
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


class Seen(list):
    def progress(self, done: int, total: int) -> None:
        self.append((done, total))


def stock(small_server, suite: str, items: int, tmp_path: Path, **model_args) -> dict:
    """lm-eval's own local-completions on the same items: its logged samples by row id and filter."""
    from lm_eval import simple_evaluate

    from harness.accuracy.datasets import source
    from harness.accuracy.lm_eval.tasks import choose_items, load_tasks

    manager, tasks = load_tasks(suite, suite, source("pocket", suite, ""), tmp_path / "stock")
    chosen = choose_items({name: len(t.eval_docs) for name, t in tasks.items()}, items, f"{suite}:0")
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
