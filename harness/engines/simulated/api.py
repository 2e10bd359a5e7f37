"""What the server's paths answer, as bytes. Pure: who asks, and when tokens are due, is the server's matter."""

import json
import time
from collections.abc import Mapping

from harness import __version__
from harness.engines.simulated.answers import Answer
from harness.engines.simulated.asked import read_asked
from harness.engines.simulated.http import Head, Refused, json_response, response

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
METHODS = {
    COMPLETIONS: "POST", CHAT: "POST", "/reset_prefix_cache": "POST",
    "/health": "GET", "/metrics": "GET", "/version": "GET", "/v1/models": "GET",
}  # fmt: skip
# There is no prefix cache and nothing is preempted: those that no one counts stay 0, as a scraper expects to find them.
COUNTERS = ("prompt_tokens", "generation_tokens", "request_success", "num_preemptions", "prefix_cache_queries",
            "prefix_cache_hits")  # fmt: skip


class Api:
    """`full_length`: answers have the length that was asked for, and never end before it."""

    def __init__(self, model: str, max_model_len: int, seed: int, *, full_length: bool):
        self._model, self._max_model_len = model, max_model_len
        self._seed, self._full_length = seed, full_length
        self.counts = dict.fromkeys(COUNTERS, 0)
        self._answers = 0

    def check(self, head: Head) -> None:
        """Raises Refused for a path that is not there, or another method than it takes."""
        if head.path not in METHODS:
            raise Refused(404, f"no such path: {head.path[:100]}; there are {', '.join(METHODS)}")
        if head.method != METHODS[head.path]:
            raise Refused(405, f"{head.path} takes {METHODS[head.path]}, not {head.method[:20]}")

    def completion(self, head: Head, raw: bytes) -> Answer:
        """The answer to a request for a completion. Raises Refused."""
        try:
            body = json.loads(raw)
            if not isinstance(body, dict):
                raise ValueError("the body must be a JSON object")
            if body.get("model", self._model) != self._model:
                raise Refused(404, f"The model `{body['model']}` does not exist.")
            asked = read_asked(
                body,
                chat=head.path == CHAT,
                raw=raw,
                seed=self._seed,
                max_model_len=self._max_model_len,
                full_length=self._full_length,
            )
        except (ValueError, TypeError, RecursionError) as error:
            raise Refused(400, str(error)) from None
        self._answers += 1
        request_id = head.request_id or f"{'chatcmpl' if asked.chat else 'cmpl'}-{self._answers:016x}"
        return Answer(asked, request_id, self._model, int(time.time()))

    def respond(self, head: Head, gauges: dict[str, float]) -> bytes:
        """Every path but the completions'."""
        if head.path == "/metrics":
            return response(200, self._metrics(gauges).encode(), "text/plain; version=0.0.4", close=head.close)
        values: dict[str, Mapping[str, object]] = {"/version": {"version": __version__}, "/v1/models": self._models()}
        if head.path in values:
            return json_response(200, values[head.path], close=head.close)
        return response(200, b"", close=head.close)

    def _models(self) -> Mapping[str, object]:
        model = {"id": self._model, "object": "model", "owned_by": "harness", "max_model_len": self._max_model_len}
        return {"object": "list", "data": [model]}

    def _metrics(self, gauges: dict[str, float]) -> str:
        """Prometheus text format, under the names that vLLM uses."""
        lines = []
        for kind, suffix, values in (("gauge", "", gauges), ("counter", "_total", self.counts)):
            for name, value in values.items():
                lines += [f"# TYPE vllm:{name}{suffix} {kind}"]
                lines += [f'vllm:{name}{suffix}{{model_name="{self._model}"}} {float(value)}']
        return "\n".join(lines) + "\n"
