"""lm-eval's whole path, against the small server of small_lm_server.py."""

import asyncio
import threading

import pytest
from aiohttp import web

from harness.accuracy import Context
from harness.accuracy.lm_eval.suite import LmEval, LmEvalConfig
from tests.integration.accuracy.small_lm_server import Seen, SmallServer, build_tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory) -> str:
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def listen():
    """listen(*routes) -> the port of a server on the loopback, up until the test's end. `routes`: web.post(...), ..."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runners = []

    def start(*routes):
        async def up():
            app = web.Application(client_max_size=1 << 24)
            app.router.add_routes(routes)
            runners.append(runner := web.AppRunner(app))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return runner.addresses[0][1]

        return asyncio.run_coroutine_threadsafe(up(), loop).result(10)

    yield start
    for runner in runners:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def small_server(tokenizer, listen):
    state = SmallServer(tokenizer)
    state.port = listen(web.get("/v1/models", state.models), web.post("/v1/completions", state.completions))
    return state


@pytest.fixture
def ask(small_server, tmp_path):
    def run(task="mmlu", data="mmlu", seed=0, seen=None, **settings):
        work_dir = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        work_dir.mkdir()
        suite = LmEval(task, LmEvalConfig(**{"task": task, "data": data, "fewshot": 5, **settings}))
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
