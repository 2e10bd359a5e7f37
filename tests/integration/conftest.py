"""A real small server with a known token schedule, and every way that we know for a server to misbehave."""

import asyncio
import itertools
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.engines import Server

TOKEN_GAP_S = 0.01


@dataclass
class ScriptedServer:
    """`script` names the behaviour of each request in order of arrival, around and around."""

    script: list[str] = field(default_factory=lambda: ["good"])
    gap_s: float = TOKEN_GAP_S
    bodies: list[dict] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)  # time.monotonic()
    token_sent_s: list[list[float]] = field(default_factory=list)  # of each request, just before each write
    in_flight: int = 0
    most_in_flight: int = 0
    cached_tokens: int = 0
    prompt_tokens: int = 0
    port: int = 0

    def __post_init__(self):
        self._turns = itertools.count()

    @property
    def server(self) -> Server:
        return Server(base_url=f"http://127.0.0.1:{self.port}", model="tiny")

    async def models(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "tiny"}, {"id": "tiny-fp8"}]})

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            text=f'vllm:prefix_cache_queries_total{{engine="0"}} {self.prompt_tokens}.0\n'
            f'vllm:prefix_cache_hits_total{{engine="0"}} {self.cached_tokens}.0\n'
        )

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.arrived_s.append(time.monotonic())
        body = await request.json()
        turn = next(self._turns)
        self.bodies.append(body)
        self.token_sent_s.append([])
        self.prompt_tokens += len(body["prompt"])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, body, self.script[turn % len(self.script)], self.token_sent_s[-1])
        finally:
            self.in_flight -= 1

    async def _answer(self, request, body, behaviour, token_sent_s):
        if behaviour == "503":
            return web.json_response({"error": "overloaded"}, status=503, headers={"Retry-After": "7"})
        if behaviour == "429":
            return web.Response(status=429, text="slow down", headers={"Retry-After": "1"})
        if behaviour == "404":
            return web.Response(status=404, text="no such model")
        if behaviour == "error_body":
            return web.json_response({"error": {"message": "CUDA out of memory"}})
        if behaviour == "silent":
            await asyncio.sleep(60)
        if behaviour == "reset_at_once":
            _reset(request)
            await asyncio.sleep(60)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        n = body["max_tokens"]
        start = time.monotonic()
        for token in range(n):
            gap_s = self.gap_s * (100 if behaviour == "slow" else 1)
            await asyncio.sleep(start + token * gap_s - time.monotonic())  # absolute deadlines do not drift
            if token == n // 2:
                if behaviour == "reset":
                    _reset(request)
                    await asyncio.sleep(60)
                elif behaviour == "hang":
                    await asyncio.sleep(60)
                elif behaviour == "cut":
                    return response  # a clean end, too early
                elif behaviour == "fin":
                    request.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
                    await asyncio.sleep(60)
                elif behaviour == "error_event":
                    await response.write(b'data: {"error": {"message": "engine died"}}\n\ndata: [DONE]\n\n')
                    return response
                elif behaviour == "bad_json":
                    await response.write(b'data: {"choices": [\n\n')
                elif behaviour == "giant_line":
                    while True:
                        await response.write(b"x" * (1 << 16))
            token_sent_s.append(time.monotonic())
            finish = "length" if token == n - 1 else None
            chunk = {"choices": [{"index": 0, "text": f" t{token}", "finish_reason": finish}]}
            if behaviour == "split_utf8":
                chunk["choices"][0]["text"] = "\N{OWL}"
                event = b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\r\n\r\n"
                middle = event.index("\N{OWL}".encode()) + 2  # inside the character
                await response.write(event[:middle])
                await asyncio.sleep(0.002)
                await response.write(event[middle:])
                continue
            if behaviour == "bad_utf8":
                await response.write(b'data: {"choices": [{"index": 0, "text": "\xff\xfe"}]}\n\n')
                continue
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        served = n - 1 if behaviour == "miscount" else n
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": served}
        await response.write(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response


def _reset(request: web.Request) -> None:
    """Close with RST: linger for 0 s."""
    raw = request.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


@pytest.fixture
def scripted():
    """A running ScriptedServer, in a thread of its own."""
    app_state = ScriptedServer()
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/completions", app_state.completions)
        app.router.add_get("/metrics", app_state.metrics)
        app.router.add_get("/v1/models", app_state.models)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        app_state.port = site._server.sockets[0].getsockname()[1]
        app_state.stop = asyncio.Event()
        started.set()
        await app_state.stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(5)
    yield app_state
    loop.call_soon_threadsafe(app_state.stop.set)
    thread.join(5)
    loop.close()


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> Path:
    """A checkpoint folder whose tokenizer is real and small; nothing reads its weights."""
    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    header = b"{}      "
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder


class CharTokenizer:
    """One token a character: as much of a tokenizer as prompts.py asks for."""

    bos_token_id = None
    all_special_ids = ()
    chat_template = None

    def __call__(self, text, **_options):
        return {"input_ids": [ord(char) for char in text]}


@pytest.fixture
def tokenizer():
    return CharTokenizer()


@pytest.fixture
def prose_file(tmp_path):
    path = tmp_path / "prose.txt"
    path.write_text("\n\n".join(f"Paragraph {n}: pack my box with five dozen liquor jugs." for n in range(20)))
    return str(path)
