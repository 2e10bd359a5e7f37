"""What a server's refusal means: whether to ask again, and what to do about it.

A refusal that no waiting mends (used-up quota, a key that is not accepted, an unknown model) ends a cell at once. A
rate limit (429 with Retry-After, or a code like rate_limit_exceeded) is waited for. Providers say "no credit" with
429 too, so the body decides: OpenAI `insufficient_quota`, DeepSeek 402 `Insufficient Balance`, Moonshot
`exceeded_current_quota_error`, xAI "used all available credits", Anthropic 400 "credit balance is too low".
"""

import json
import re
from collections.abc import Iterator
from typing import Any

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
    r"insufficient.{0,12}(quota|credit|balance|fund)|exceeded your current quota|billing|spending limit|hard limit|"
    r"credit balance|(used|exhausted|consumed) (up )?(all|your).{0,30}(credit|quota)|(no|not enough|out of) credit|"
    r"quota (is |has been )?(exhausted|used up)|(account|organization).{0,40}(suspended|deactivated|disabled)",
    re.IGNORECASE,
)
WAIT = re.compile(r"retry.?delay|(try|retry) (again )?(in|after) |rate.?limit", re.IGNORECASE)
STATUS = {401: KEY, 402: QUOTA, 403: KEY}
WANTS_TEXT = re.compile(  # pydantic, FastAPI, Go, Python, tokenizers
    r"string_type|valid string|(must be|of type|expected)( a| type)? str|not a string|'list' object|type: 'list'|"
    r"TextEncodeInput|\bprompt\b(?!.{0,80}(length|long|context|tokens))",
    re.IGNORECASE | re.DOTALL,
)
TOO_LONG = re.compile(r"too long|context length|maximum.{0,20}tokens|exceed", re.IGNORECASE)


def final(status: int, body: str, retry_after: str | None = None) -> str | None:
    """quota | key | model where asking again cannot help; None where it might, or where it is another mistake."""
    error = error_of(_read(body))
    codes = [str(code).lower() for code in _codes(error)]
    if found := next((CODES[code] for code in codes if code in CODES), None):
        return found
    if status in (400, 401, 402, 403, 412, 429, 200) and NO_CREDIT.search(body):
        waits = status == 429 and (retry_after or WAIT.search(body))
        return None if waits else QUOTA
    if status == 404 and re.search(r"\bmodels?\b", body, re.IGNORECASE):
        return MODEL
    return STATUS.get(status)


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
    if status in (404, 405):
        return "; suites ask /v1/completions, which a chat-only server has not"
    return ""


def error_of(answer: Any) -> Any:
    """The error in an answer's JSON; None for `null`, an empty one, or one whose fields are all empty."""
    if isinstance(answer, list) and len(answer) == 1:  # as Google's endpoints wrap it
        answer = answer[0]
    if not isinstance(answer, dict):
        return None
    error = answer.get("error")
    if isinstance(error, dict):
        error = {key: value for key, value in error.items() if value}
    return error or None


def _codes(error: Any) -> Iterator[Any]:
    if isinstance(error, dict):
        yield from (error[key] for key in ("code", "type", "status") if key in error)


def _read(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
