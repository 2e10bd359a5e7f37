"""The fixed text through a small real server that knows its own distribution."""

import itertools
import math

import numpy as np
import pytest
from aiohttp import web

from harness.accuracy import Context
from harness.accuracy.perplexity import Perplexity, PerplexityConfig
from harness.analysis.quality.texts import _array, perplexity_of, text_gap
from harness.engines import Server
from harness.errors import CellError
from harness.records.cell import Cell
from harness.records.item import TextWindow
from harness.records.record import Record
from harness.records.record_check import rows_fault

VOCABULARY = 256


class BigramServer:
    """The next token's distribution depends on the last token alone: softmax of a row of `logits`."""

    def __init__(self, logits, max_model_len=None):
        self.ln_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        self.max_model_len, self.bodies = max_model_len, []
        self.broken = None  # the prompt of the window that gets no log-probabilities

    async def models(self, _request):
        return web.json_response({"data": [{"id": "m", "max_model_len": self.max_model_len}]})

    async def completions(self, request):
        body = await request.json()
        self.bodies.append(body)
        ids = body["prompt"]
        if ids == self.broken:
            return web.json_response({"choices": [{"text": "", "logprobs": None}]})
        values, tops = [None], [None]
        for last, token in itertools.pairwise(ids):
            row = self.ln_p[last]
            best = np.argsort(-row)[: body["logprobs"]]
            values.append(row[token])
            tops.append({f"token_id:{int(i)}": row[i] for i in {*best.tolist(), token}})
        logprobs = {
            "tokens": [f"token_id:{token}" for token in ids] + ["token_id:0"],
            "token_logprobs": [*values, -1.0],
            "top_logprobs": [*tops, {"token_id:0": -1.0}],
        }
        return web.json_response({"choices": [{"text": "", "logprobs": logprobs, "finish_reason": "length"}]})


@pytest.fixture
def serve(listen):
    def start(server):
        port = listen(web.get("/v1/models", server.models), web.post("/v1/completions", server.completions))
        return Server(f"http://127.0.0.1:{port}", "m")

    return start


@pytest.fixture
def context(tiny_model, tmp_path):
    return lambda server: Context(server, str(tiny_model), "pocket", 0, 4, tmp_path, lambda done, total: None)


def logits(seed, base=None, noise=0.0):
    drawn = np.random.default_rng(seed).normal(0, 2, size=(VOCABULARY, VOCABULARY))
    return drawn if base is None else base + noise * drawn


def windows(rows):
    return [TextWindow.from_json(row) for row in rows]


def test_perplexity_is_what_the_servers_own_distribution_says(serve, context):
    server = BigramServer(logits(0))
    outcome = Perplexity("p", PerplexityConfig(window=64, items=12)).run(context(serve(server)))
    assert len(outcome.rows) == 12 and outcome.result.data.population > 500
    sent = [body["prompt"] for body in server.bodies]
    direct = sum(server.ln_p[a, b] for ids in sent for a, b in itertools.pairwise(ids)) / (12 * 63)
    assert outcome.result.details["perplexity"] == pytest.approx(math.exp(-direct), rel=1e-6)
    assert outcome.result.scores == {} and outcome.result.details["tokens"] == 12 * 63
    assert all(len(ids) == 64 for ids in sent) and {body["logprobs"] for body in server.bodies} == {20}


def test_the_distance_of_two_servers_is_a_bound_of_the_true_one(serve, context):
    base = logits(0)
    servers = [BigramServer(base), BigramServer(logits(1, base, 0.2))]
    suite = Perplexity("p", PerplexityConfig(window=64, items=12))
    rows = [suite.run(context(serve(server))).rows for server in servers]
    assert [row["prompt_hash"] for row in rows[0]] == [row["prompt_hash"] for row in rows[1]]
    found = text_gap(list(zip(*map(windows, rows), strict=True)), [0])
    p, q = (server.ln_p for server in servers)
    by_last = (np.exp(p) * (p - q)).sum(axis=1)
    true = np.mean([by_last[last] for body in servers[0].bodies for last in body["prompt"][:-1]])
    assert 0.3 * true < found.kl.value <= true and 0.5 < found.covered < 1


def test_a_window_without_log_probabilities_is_left_out_and_two_end_the_suite(serve, context):
    base = logits(0)
    servers = [BigramServer(base), BigramServer(logits(1, base, 0.2))]
    suite = Perplexity("p", PerplexityConfig(window=64, items=12))
    whole = [suite.run(context(serve(server))).rows for server in servers]
    servers[1].broken = servers[1].bodies[3]["prompt"]
    outcome = suite.run(context(serve(servers[1])))
    (lost,) = [at for at, row in enumerate(outcome.rows) if row["tokens"] == 0]
    rest = [at for at in range(12) if at != lost]
    assert [outcome.rows[at] for at in rest] == [whole[1][at] for at in rest]
    assert outcome.result.counts.items == 12 and outcome.result.counts.errors == 1
    assert outcome.result.details["tokens"] == 11 * 63
    assert [(flag.code, flag.level) for flag in outcome.flags] == [("unreadable", "invalid")]
    assert "1 of 12 answers could not be read and are left out" in outcome.flags[0].message
    assert rows_fault(Record(cell=Cell("", "accuracy"), result=outcome.result), outcome.rows) is None
    found = text_gap(list(zip(windows(whole[0]), windows(outcome.rows), strict=True)), [0])
    sides = [windows(rows[at] for at in rest) for rows in whole]
    assert found == text_gap(list(zip(*sides, strict=True)), [0])
    assert perplexity_of(windows(outcome.rows), [0]) == perplexity_of(sides[1], [0])
    with pytest.raises(CellError, match="no log-probabilities of a prompt's tokens"):
        Perplexity("p", PerplexityConfig(window=64, items=1)).run(context(serve(AlwaysBroken(base))))


class AlwaysBroken(BigramServer):
    async def completions(self, request):
        self.broken = (await request.json())["prompt"]
        return await super().completions(request)


def test_tokens_are_stored_as_they_were_sent(serve, context):
    server = BigramServer(logits(0))
    row = Perplexity("p", PerplexityConfig(window=32, items=1, top_k=3)).run(context(serve(server))).rows[0]
    ids = server.bodies[0]["prompt"]
    assert _array(row["token_ids"], "<u4").tolist() == ids[1:]
    top = _array(row["top_ids"], "<u4").reshape(-1, 3)
    assert all(top[at].tolist() == np.argsort(-server.ln_p[last])[:3].tolist() for at, last in enumerate(ids[:-1]))


def test_a_window_that_does_not_fit_the_server_is_refused_with_the_setting(serve, context):
    server = serve(BigramServer(logits(0), max_model_len=64))
    assert Perplexity("p", PerplexityConfig(window=63, items=1)).run(context(server)).rows
    with pytest.raises(CellError, match=r"suites\.p\.window=63"):
        Perplexity("p", PerplexityConfig(window=64)).run(context(server))


def test_a_bos_that_the_tokenizer_lacks_is_an_error(serve, context):
    with pytest.raises(CellError, match="no BOS"):
        Perplexity("p", PerplexityConfig(window=64, add_bos=True)).run(context(serve(BigramServer(logits(0)))))
