"""lm-eval's whole path, against the small server of small_lm_server.py."""

import asyncio
import threading

import pytest
from aiohttp import web
from small_lm_server import Seen, SmallServer, build_tokenizer

from harness.accuracy import Context
from harness.accuracy.lm_eval import Config, LmEval


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory) -> str:
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"))


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
