"""Answers of any JSON to a suite or a judge: read, or refused with words; no crash, and no number that is none."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from harness.accuracy.alpaca_eval.annotator import _letters
from harness.accuracy.completions import check, completion, counts_of
from harness.accuracy.lm_eval.generations import generation
from harness.accuracy.lm_eval.logprobs import echoed_score, next_token_scores
from harness.accuracy.refusals import advice, final
from harness.accuracy.text_windows import AskedWindow, scored_window
from harness.engines.limits import Meter
from harness.errors import CellError
from harness.protocol.failures import failure_of, unwrapped
from harness.protocol.replies import BadReply, parse_json, shown
from tests.fuzz.budget import examples
from tests.fuzz.foreign import JSON, changed, damaged, encoded, readable

TOP = {"token_id:5": -0.1, "token_id:6": -3.0}
USAGE = {"prompt_tokens": 4, "completion_tokens": 1}
LOGPROBS = {"tokens": ["token_id:5", "token_id:6"], "token_logprobs": [None, -0.2], "top_logprobs": [None, TOP]}
CHAT_TOP = [{"token": "m", "logprob": -0.1, "id": 5}, {"token": " M", "logprob": -2.0, "id": 6}]
CHAT = {"content": [{"token": "m", "logprob": -0.1, "top_logprobs": CHAT_TOP}]}
GOOD = [
    {"id": "1", "choices": [{"index": 0, "text": "a", "finish_reason": "stop", "logprobs": LOGPROBS}], "usage": USAGE},
    {"choices": [{"text": "m", "finish_reason": "stop", "logprobs": {"top_logprobs": [TOP]}}], "error": None},
    {"choices": [{"message": {"role": "assistant", "content": "m"}, "logprobs": CHAT}], "usage": USAGE},
    {"choices": [{"message": {"content": [{"type": "text", "text": "4"}]}, "finish_reason": {"type": "stop"}}]},
    {"error": {"message": "no credit", "code": "insufficient_quota"}},
    {"object": "error", "message": "no", "type": "x"},
]
REPLY = st.sampled_from(GOOD).flatmap(changed) | JSON
BODY = REPLY.map(encoded) | st.sampled_from(GOOD).map(encoded).flatmap(damaged)


def checked(body):
    """As generation.py takes a 200: the answer, or None for one that is refused."""
    try:
        answer = unwrapped(parse_json(body))
        if (why := failure_of(answer)) is not None:
            assert why
            return None
        check(answer)
        return answer
    except BadReply as error:
        assert readable(str(error)) and shown(body).isprintable()
        return None


@examples(200)
@given(BODY)
def test_any_answer_is_read_by_every_suite_or_refused(body):
    answer = checked(body)
    final(200, body.decode("utf-8", "replace"))
    advice(None, 400, body.decode("utf-8", "replace"), [1], None)
    if answer is None:
        return
    said = completion(answer)
    said.text.encode()
    json.dumps([said.text, said.finish_reason, said.completion_tokens], allow_nan=False).encode()
    generation(answer, ("a",))
    meter = Meter()
    meter.add_usage(counts_of(answer))
    assert meter.prompt_tokens >= 0 and meter.completion_tokens >= 0
    for scores in (next_token_scores(answer, [5, 6]), _score(lambda: [echoed_score(answer, 1, 1)])):
        assert scores is None or all(math.isfinite(value) and value < 1e-2 for value, _ in scores)
    window = _score(lambda: scored_window(answer, AskedWindow("p/0", "d", [5, 6]), 2))
    assert window is None or (window.tokens == 1 and json.dumps(window.to_json(), allow_nan=False))
    top = _letters(said.choice, said.text)["logprobs"]["content"][0]["top_logprobs"]
    assert all(math.isfinite(one["logprob"]) and one["token"] == one["token"].strip() for one in top)


def _score(of):
    try:
        return of()
    except CellError as error:
        assert readable(str(error))
        return None


@examples(75)
@given(JSON, st.sampled_from([200, 400, 401, 403, 404, 422, 429, 500]), st.sampled_from([None, "5", "x"]))
def test_any_refusal_has_a_meaning(body, status, retry_after):
    text = json.dumps(body)
    why = final(status, text, retry_after)
    assert why in (None, "quota", "key", "model")
    assert isinstance(advice(why, status, text, [1], "KEY"), str)
