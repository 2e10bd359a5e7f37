"""What servers answer: completions without a text, errors that are none, refusals that are final and others."""

import json

import pytest

from harness.accuracy.completions import Completion, completion
from harness.accuracy.items import answer_of
from harness.accuracy.reasoning import answer_flags, judged_flags, reasoning_in
from harness.accuracy.refusals import KEY, MODEL, QUOTA, advice, final
from harness.errors import CellError
from harness.protocol.failures import failure_of
from harness.records.item import Answer

EMPTY = [
    {"choices": [{"index": 0, "text": None, "finish_reason": "content_filter"}]},
    {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": "content_filter"}]},
    {"choices": [{"message": {"content": None, "reasoning_content": "Let me see"}, "finish_reason": "length"}]},
    {"choices": [{"message": None, "finish_reason": "content_filter"}]},
    {"choices": [{"message": {"content": []}}]},
    {"choices": [{"text": ""}], "usage": []},
    {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
    {"choices": None},
]


@pytest.mark.parametrize("reply", EMPTY)
def test_an_answer_without_text_is_an_empty_answer(reply):
    assert failure_of(reply) is None
    said = completion(reply)
    assert (said.text, said.completion_tokens) == ("", None)


@pytest.mark.parametrize("choices", [[], None])
def test_no_choices_are_a_filtered_answer(choices):
    assert completion({"choices": choices}).finish_reason == "content_filter"


def test_chat_content_may_come_in_parts():
    parts = [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]
    said = completion({"choices": [{"message": {"content": parts}}], "usage": {"completion_tokens": 2}})
    assert (said.text, said.finish_reason, said.completion_tokens) == ("42", None, 2)


@pytest.mark.parametrize(
    "reply", [{}, {"choices": [{}]}, {"choices": [{"text": 3}]}, {"choices": ["x"]}, {"object": "list"}]
)
def test_what_is_no_completion_is_refused(reply):
    with pytest.raises(CellError, match="not a completion"):
        completion(reply)


ANSWER = {"choices": [{"text": " 4", "finish_reason": "stop"}]}


@pytest.mark.parametrize("error", [None, "", {}, [], False, 0, {"code": None, "message": ""}])
def test_an_empty_error_is_none(error):
    assert failure_of(ANSWER | {"error": error}) is None


@pytest.mark.parametrize(
    "reply",
    [
        ANSWER | {"error": "overloaded"},
        {"error": {"message": "worker died"}},
        {"choices": [{"text": "", "finish_reason": "error"}]},
        {"choices": [{"text": "a", "finish_reason": "abort"}]},
        {"choices": [{"text": "", "error": {"code": 502, "message": "upstream"}}]},
        ["not", "an", "object"],
    ],
)
def test_an_error_with_status_200_is_one(reply):
    assert failure_of(reply)


def said(message, **more):
    return {"error": {"message": message, **more}}


CREDITS = "Your team has used all available credits or reached its monthly spending limit"
LOW = "Your credit balance is too low to access the API. Please go to Plans & Billing"
PER_MINUTE = (
    "Rate limit reached for m on tokens per min (TPM): Limit 10000. Please try again in 6ms. You can increase it by "
    "adding a payment method at https://x/account/billing"
)
GOOGLE = "You exceeded your current quota, please check your plan and billing details"
CHAT_ONLY = "This is a chat model and not supported in the v1/completions endpoint. Did you mean v1/chat/completions?"
REFUSALS = [  # status, body, Retry-After -> final?
    (429, said("You exceeded your current quota", code="insufficient_quota"), None, QUOTA),
    (429, said("over", type="insufficient_quota"), "20", QUOTA),
    (429, said("Your account is suspended", type="exceeded_current_quota_error"), None, QUOTA),
    (429, {"error": CREDITS}, None, QUOTA),
    (400, {"type": "error", **said(LOW, type="invalid_request_error")}, None, QUOTA),
    (402, said("Insufficient Balance"), None, QUOTA),
    (400, said("Billing hard limit has been reached", code="billing_hard_limit_reached"), None, QUOTA),
    (401, said("Incorrect API key provided", code="invalid_api_key"), None, KEY),
    (401, "", None, KEY),
    (403, said("Access denied", type="permission_error"), None, KEY),
    (404, said("The model `x` does not exist", code="model_not_found"), None, MODEL),
    (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError"}, None, MODEL),
    (200, {"error": {"code": "insufficient_quota"}}, None, QUOTA),
    (402, {"message": "no", "type": "insufficient_quota", "object": "error"}, None, QUOTA),
    (429, {"object": "error", "type": "insufficient_quota", "message": "no"}, None, QUOTA),
    (400, {"code": "model_not_found", "message": "no"}, None, MODEL),
    (429, {"error": "insufficient_quota"}, None, QUOTA),
    (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}, None, QUOTA),
    (400, said("Your balance is insufficient"), None, QUOTA),
    (400, [said("You have run out of credits")], None, QUOTA),
    (404, said("The model `llama-2-7b-chat` does not exist"), None, MODEL),
    (200, {"choices": [{"text": "", "finish_reason": "error", "error": said("Insufficient credits")}]}, None, QUOTA),
    # these are waited for, or another mistake
    (404, said(CHAT_ONLY, type="invalid_request_error", param="model", code=None), None, None),
    (404, said(CHAT_ONLY, code="model_not_found"), None, None),
    (404, said("This model is only supported in v1/responses and not in v1/completions."), None, None),
    (400, said("max_tokens 4096 exceeds hard limit on max_tokens 2048"), None, None),
    (200, {"choices": [{"text": "billing: no credit, my model", "finish_reason": "abort"}]}, None, None),
    (200, {"choices": [{"message": {"content": "insufficient funds"}, "finish_reason": "error"}]}, None, None),
    (503, said("loading", code="model_not_available"), "20", None),
    (500, said("try again", type="billing_error"), None, None),
    (403, said("slow down", type="permission_error"), "5", None),
    (403, "", "5", None),
    (429, said(PER_MINUTE, code="rate_limit_exceeded"), None, None),
    (
        429,
        said("exceeded token rate limit of your S0 pricing tier. Please retry after 3 seconds.", code="429"),
        "3",
        None,
    ),
    (429, said("Rate limit reached on tokens per day (TPD). Upgrade at https://x/settings/billing"), "9", None),
    (429, [said(GOOGLE, code=429, status="RESOURCE_EXHAUSTED", details=[{"retryDelay": "34s"}])], None, None),
    (429, "slow down", None, None),
    (503, said("overloaded"), None, None),
    (422, {"detail": "no"}, None, None),
]


@pytest.mark.parametrize(("status", "body", "retry_after", "expected"), REFUSALS)
def test_which_refusals_are_final(status, body, retry_after, expected):
    text = body if isinstance(body, str) else json.dumps(body)
    assert final(status, text, retry_after) == expected


@pytest.mark.parametrize("status", [400, 404])
def test_a_chat_model_is_answered_with_the_route(status):
    text = json.dumps(said(CHAT_ONLY))
    assert "suites ask /v1/completions" in advice(final(status, text), status, text, "p", None)


TEXT_ONLY = [
    (422, '{"detail": [{"loc": ["body", "prompt"], "msg": "Input should be a valid string"}]}'),
    (400, "'prompt' must be a string"),
    (400, "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type string"),
    (500, "'list' object has no attribute 'strip'"),
    (500, "TypeError: TextEncodeInput must be Union[TextInputSequence, Tuple[InputSequence, InputSequence]]"),
    (400, '{"error": {"message": "Invalid value for parameter prompt"}}'),
]
OTHERS = [
    (400, "This model's maximum context length is 2048 tokens. However, you requested 2,100 (2,000 in the prompt)"),
    (400, '{"error": {"message": "prompt is too long"}}'),
    (400, '{"error": {"message": "logprobs is not supported"}}'),
    (500, "CUDA out of memory"),
]


@pytest.mark.parametrize(("status", "body"), TEXT_ONLY)
def test_a_server_that_wants_text_is_answered_with_the_setting(status, body):
    assert "engine.send_as=text" in advice(None, status, body, [1, 2, 3], None)
    assert "send_as" not in advice(None, status, body, "text", None)


@pytest.mark.parametrize(("status", "body"), OTHERS)
def test_other_refusals_are_not_answered_with_it(status, body):
    assert "send_as" not in advice(None, status, body, [1, 2, 3], None)


def test_advice_names_the_variable_of_the_key_and_not_the_key(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-abcdef")
    said = advice(KEY, 401, "", "p", "MY_KEY")
    assert "MY_KEY" in said and "sk-abcdef" not in said


THINKING = [  # answer, end of the prompt -> state
    ("<think>\nOkay, so", "", "open"),
    ("  <think>\nOkay</think>\n\nParis", "", "closed"),
    ("Okay</think>\n\nParis", "<|im_start|>assistant\n<think>\n", "closed"),
    ("Okay, so", "<|im_start|>assistant\n<think>\n", "open"),
    ("[THINK]hm", "", "open"),
    ("◁think▷hm◁/think▷Paris", "", "closed"),
    ("Paris", "assistant\n<think>\n\n</think>\n\n", None),
    ("Write <think> for a thought", "", None),
    ("Paris", "", None),
    ("", "", None),
]


@pytest.mark.parametrize(("answer", "prompt", "expected"), THINKING)
def test_a_reasoning_block_is_seen(answer, prompt, expected):
    assert reasoning_in(answer, prompt) == expected


def test_answers_inside_a_reasoning_block_are_flagged():
    texts = ["<think>a", "<think>b", "<think>c</think>d", "e"]
    answers = [answer_of(Completion(text, "length", 9), "") for text in texts]
    (flag,) = answer_flags(answers, "suites.x.max_tokens")
    assert (flag.code, flag.level) == ("thinking", "caution")
    assert "3 of 4 answers contain a reasoning block" in flag.message and "2 end inside" in flag.message
    assert "suites.x.max_tokens" in flag.message
    assert answer_flags(answers[:2], "x")[0].level == "invalid"
    assert "judge compares the whole text" in judged_flags(answers)[0].message
    assert answer_flags(answers[3:], "x") == judged_flags(answers[3:]) == []


def test_filtered_answers_are_flagged():
    answers = [Answer(response="", finish_reason="content_filter"), Answer(response="a", finish_reason="stop")]
    (flag,) = answer_flags(answers, "x")
    assert flag.code == "content_filter" and "1 of 2" in flag.message
