"""Load over chat completions against a server that is not ours: aiohttp, with deltas as vLLM and OpenAI send them."""

import asyncio
import json
import threading

import pytest
from aiohttp import web

from harness.config.workloads import LoadPoints, Scenario
from harness.engines import Server
from harness.loadgen.bench import Bench
from harness.loadgen.measure import measure
from harness.loadgen.traffic.requests import Traffic
from harness.records.point import LoadPoint
from harness.text.tokenizer import load_tokenizer

ROLE = {"role": "assistant", "content": ""}
REASONED = [{"reasoning_content": "let"}, {"reasoning_content": " me"}, {"content": "yes"}, {"content": "."}]
CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}
CALLED = [{"tool_calls": [CALL]}, {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}]


class Chat:
    """Streams `deltas`, 10 ms apart."""

    def __init__(self):
        self.asked, self.deltas, self.prompt_tokens = [], REASONED, 11
        self.ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True).start()
        assert self.ready.wait(10)

    async def serve(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()
        self.port = site._server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.end.wait()
        await runner.cleanup()

    async def answer(self, request):
        self.asked.append(await request.json())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in [ROLE, *self.deltas]]
        choices[-1][0]["finish_reason"] = "stop"
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": len(self.deltas)}
        for one in choices:
            await response.write(f"data: {json.dumps({'id': 'x', 'choices': one})}\n\n".encode())
            await asyncio.sleep(0.01)
        await response.write(f"data: {json.dumps({'id': 'x', 'choices': [], 'usage': usage})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


@pytest.fixture
def chat():
    server = Chat()
    yield server
    server.loop.call_soon_threadsafe(server.end.set)


def run(chat, tokenizer, text, **changes):
    scenario = Scenario(**{"prompt_tokens": 0, "output_tokens": 16, "text": text, "send": "verbatim"} | changes)
    server = Server(f"http://127.0.0.1:{chat.port}", "m")
    load = LoadPoints(request_timeout_s=10.0, cell_timeout_s=30.0)
    return measure(Bench(server, tokenizer, Traffic("s", scenario, load, 0)), LoadPoint("server", 20.0, 6))


@pytest.mark.parametrize("deltas", [REASONED, CALLED], ids=["reasoning", "tools"])
def test_every_delta_that_carries_tokens_is_timed(chat, tokenizer, tmp_path, deltas):
    chat.deltas = deltas
    path = tmp_path / "prompts.jsonl"
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello there"}]
    path.write_text("\n".join([json.dumps({"messages": messages})] * 3))
    outcome = run(chat, tokenizer, str(path))
    rows = list(outcome.rows)
    assert outcome.result.requests_completed == 6, outcome.flags
    assert all(asked["messages"] == messages and asked["max_tokens"] == 16 for asked in chat.asked)
    assert [len(row["token_s"]) for row in rows] == [len(deltas)] * 6, "the role's announcement is no token"
    assert outcome.result.itl_ms.p50 > 5
    assert (outcome.result.prompt_lengths.p50, outcome.result.answer_lengths.p99) == (11, len(deltas))
    codes = {flag.code for flag in outcome.flags}
    assert {"tokenizer_differs", "prompts_repeat"} <= codes and not {"token_mismatch", "errors"} & codes


def test_generated_prompts_over_chat(chat, tiny_model, prose_file):
    run(chat, load_tokenizer(str(tiny_model)), prose_file, send="generated", prompt_tokens=40, api="chat")
    assert {len(asked["messages"][0]["content"]) for asked in chat.asked} == {40}, "a byte is a token here"
    assert chat.asked[0]["ignore_eos"] is True


def test_a_conversation_resends_what_the_server_answered(chat, tiny_model, prose_file):
    chat.deltas = [{"reasoning_content": "hm"}, {"content": "yes "}, {"content": ']\u2028"'}]
    turns = {"turns": 3, "turn_tokens": 30, "think_s": 0.05, "api": "chat", "send": "generated", "prompt_tokens": 40}
    outcome = run(chat, load_tokenizer(str(tiny_model)), prose_file, **turns)
    assert outcome.result.requests_completed == 18, outcome.flags
    by_turn = {length: [a["messages"] for a in chat.asked if len(a["messages"]) == length] for length in (1, 3, 5)}
    assert [len(found) for found in by_turn.values()] == [6, 6, 6]
    for messages in by_turn[5]:
        assert [m["role"] for m in messages] == ["user", "assistant", "user", "assistant", "user"]
        assert {m["content"] for m in messages if m["role"] == "assistant"} == {'yes ]\u2028"'}, "without its reasoning"
        assert [len(m["content"]) for m in messages if m["role"] == "user"] == [40, 30, 30]
        assert messages[:3] in by_turn[3] and messages[:1] in by_turn[1]
