"""What a server's refusal means: whether to ask again, and what to do about it.

A final refusal (used-up quota, a key that is not accepted, an unknown model) ends a cell at once. After a rate limit
(429 or 403 with Retry-After, or a code like rate_limit_exceeded) or a failure of the server (5xx) the request is sent
again. Providers say "no credit" with 429 too, so the body decides: OpenAI `insufficient_quota`, DeepSeek 402
`Insufficient Balance`, Moonshot `exceeded_current_quota_error`, xAI "used all available credits", Anthropic 400
"credit balance is too low".
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from harness.protocol.failures import error_of, unwrapped

QUOTA, KEY, MODEL = "quota", "key", "model"
CODES = {  # error.code, error.type, error.status, in lower case
    **dict.fromkeys(
        (
            *("insufficient_quota", "exceeded_current_quota_error", "insufficient_credits", "insufficient_balance"),
            *("billing_hard_limit_reached", "billing_not_active", "billing_error", "payment_required"),
            *("credit_balance_too_low", "credits_exhausted", "insufficient_funds", "out_of_credits"),
            *("account_deactivated", "account_suspended", "access_terminated", "organization_deactivated"),
        ),
        QUOTA,
    ),
    **dict.fromkeys(
        ("invalid_api_key", "authentication_error", "permission_error", "permission_denied", "unauthorized"), KEY
    ),
    **dict.fromkeys(("model_not_found", "model_not_available", "unknown_model"), MODEL),
}
NO_CREDIT = re.compile(
    r"insufficient.{0,12}(quota|credit|balance|fund)|exceeded your current quota|billing|spending limit|"
    r"(quota|credit|balance|fund)s?( is| are)? (insufficient|not enough|not sufficient|too low)|"
    r"credit balance|(used|exhausted|consumed) (up )?(all|your).{0,30}(credit|quota)|(no|not enough|out of) credit|"
    r"quota (is |has been )?(exhausted|used up)|(account|organization).{0,40}(suspended|deactivated|disabled)",
    re.IGNORECASE,
)
WAIT = re.compile(r"retry.?delay|(try|retry) (again )?(in|after) |rate.?limit", re.IGNORECASE)
OTHER_ROUTE = re.compile(  # OpenAI, Azure: the model exists, and is not served at this path
    r"\b(is|not) an? (text |chat|completion)[\w -]{0,12}model\b|completion operation does not work|"
    r"\b(not|only) support(s|ed)?\b.{0,30}\b(completions|responses)\b|mean to use .{0,8}v1/",
    re.IGNORECASE,
)
STATUS = {401: KEY, 402: QUOTA, 403: KEY}
WANTS_TEXT = re.compile(  # pydantic, FastAPI, Go, Python, tokenizers
    r"string_type|valid string|(must be|of type|expected)( a| type)? str|not a string|'list' object|type: 'list'|"
    r"TextEncodeInput|\bprompt\b(?!.{0,80}(length|long|context|tokens))",
    re.IGNORECASE | re.DOTALL,
)
TOO_LONG = re.compile(r"too long|context length|maximum.{0,20}tokens|exceed", re.IGNORECASE)


def final(status: int, body: str, retry_after: str | None = None) -> str | None:
    """quota | key | model where asking again cannot help; None where it might, or where it is another mistake."""
    if status >= 500 or (status == 403 and retry_after) or (status in (400, 404, 405) and OTHER_ROUTE.search(body)):
        return None
    answer = _read(body)
    codes = [str(code).lower() for code in _codes(answer)]
    if found := next((CODES[code] for code in codes if code in CODES), None):
        return found
    words = _servers_words(answer, body)
    if status in (400, 401, 402, 403, 412, 429, 200) and NO_CREDIT.search(words):
        waits = status == 429 and (retry_after or WAIT.search(words))
        return None if waits else QUOTA
    if status == 404 and re.search(r"\bmodels?\b", words, re.IGNORECASE):
        return MODEL
    return STATUS.get(status)


def is_rate_limit(status: int, retry_after: str | None) -> bool:
    """Return whether the request may be sent again after a wait, without counting as failed."""
    return status == 429 or (status == 403 and bool(retry_after))


def advice(why: str | None, status: int, body: str, prompt: Any, api_key_env: str | None) -> str:
    """What to do about a refusal, as the end of a message; empty where the server's words must do."""
    variable = f"${api_key_env}" if api_key_env else "engine.api_key_env"
    if why == QUOTA:
        return f"; its quota or credit is used up: top up the account, or use another key ({variable}), and run again"
    if why == KEY:
        return f"; check the API key ({variable}) and what it may use"
    if why == MODEL:
        return "; set engine.model (of a judge: judge.endpoint_model) to a model that it serves"
    wants_text = WANTS_TEXT.search(body) and not TOO_LONG.search(body)
    if status in (400, 415, 422, 500) and isinstance(prompt, list) and wants_text:
        return "; it may take prompts as text only: set engine.send_as=text"
    if status in (404, 405) or (status == 400 and OTHER_ROUTE.search(body)):
        return "; suites ask /v1/completions; a chat-only server does not have it"
    return ""


def _codes(answer: Any) -> Iterator[Any]:
    """Yield the codes of the error and of the answer around it; an error that is a text may be a code too."""
    error = error_of(answer)
    if isinstance(error, str):
        yield error
    for place in (error, answer):
        if isinstance(place, dict):
            yield from (place[key] for key in ("code", "type", "status") if key in place)


def _servers_words(answer: Any, body: str) -> str:
    """Return the body without what the model generated; of its choices, only their errors are the server's."""
    if not isinstance(answer, dict) or not answer.get("choices"):
        return body
    choices = answer["choices"] if isinstance(answer["choices"], list) else []
    errors = [choice.get("error") for choice in choices if isinstance(choice, dict)]
    return json.dumps(answer | {"choices": errors})


def _read(body: str) -> Any:
    try:
        return unwrapped(json.loads(body))
    except (ValueError, RecursionError):
        return None
