"""Generation of a suite beside the bare engine: the very same requests, sent again by threads that do nothing else.

Threads with a connection each, bodies encoded before the clock starts, answers read and dropped: what the engine takes.
"""

import http.client
import itertools
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from table import Row

from accuracy_rows.served import Served
from harness.accuracy import generation
from harness.accuracy.humaneval import suite as humaneval
from harness.accuracy.lm_eval import model as lm_eval_model
from harness.errors import HarnessError

REACH = 1.05
OURS, BARE = "ours", "bare engine"
SUITES = {
    "gsm8k": ("lm_eval", {"task": "gsm8k", "data": "gsm8k", "fewshot": 5}),
    "humaneval": ("humaneval", {"plus": True}),
}


@dataclass
class Recorder:
    """Stands in for `request_many` where the suites call it: the same calls, with the time and the bodies kept."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    began: float | None = None
    ended: float = 0.0

    def __call__(self, server, path, bodies, **options):
        bodies = list(bodies)
        self.bodies += bodies
        self.began = time.monotonic() if self.began is None else self.began
        try:
            return generation.request_many(server, path, bodies, **options)
        finally:
            self.ended = time.monotonic()


def generation_time(served: Served, name: str, items: int, max_tokens: int, repeats: int) -> Iterator[Row]:
    """Interleaved: ours, bare, ours, bare. Ours is from the first request to the last answer; the suite's whole wall
    time, with its prompts, scoring and sandbox, stands in the note."""
    kind, settings = SUITES[name]
    settings = {**settings, "items": items, "max_tokens": max_tokens}
    ours, bare, whole = [], [], []
    for repeat in range(repeats):
        recorder, folder = Recorder(), served.folder(f"generation-{name}-{repeat}")
        began = time.monotonic()
        with (
            mock.patch.object(humaneval, "request_many", recorder),
            mock.patch.object(lm_eval_model, "request_many", recorder),
        ):
            served.run(kind, settings, folder)
        whole.append(time.monotonic() - began)
        ours.append(recorder.ended - recorder.began)
        served.engine.reset_prefix_cache(served.server)
        bare.append(replay(served, recorder.bodies))
        served.say(f"{name}: ours {ours[-1]:.1f} s, bare engine {bare[-1]:.1f} s, whole suite {whole[-1]:.1f} s")
    ratios = sorted(mine / theirs for mine, theirs in zip(ours, bare, strict=True))
    title = f"{name}, {items} items, {served.concurrency} in flight: generation"
    note = "the whole suite: " + ", ".join(f"{seconds:.1f} s" for seconds in whole)
    yield Row(title, "s", "", {OURS: ours, BARE: bare}, None, note)
    middle = ratios[len(ratios) // 2]
    yield Row(f"{name}: ours / bare engine", "x", f"at most {REACH:g}", {OURS: ratios}, middle <= REACH)


def replay(served: Served, bodies: list[dict[str, Any]]) -> float:
    """Seconds for all of them, `served.concurrency` in flight."""
    encoded = [json.dumps({"model": served.server.model, **body}).encode() for body in bodies]
    queue, failures = itertools.count(), []
    address = urlsplit(served.server.base_url)

    def work() -> None:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=600)
        while (index := next(queue)) < len(encoded):
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/completions", encoded[index], headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                failures.append(response.status)
        connection.close()

    workers = min(served.concurrency, len(encoded))
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(work) for _ in range(workers)]:
                future.result()
    except (OSError, http.client.HTTPException) as error:
        raise HarnessError(f"the engine did not answer a replayed request: {error!r}") from error
    if failures:
        raise HarnessError(f"the engine refused {len(failures)} of {len(encoded)} requests: HTTP {failures[0]}")
    return time.monotonic() - began
