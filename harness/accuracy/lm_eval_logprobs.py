"""Log-probabilities over `/v1/completions`: of several next tokens at once, or of a continuation read back by echo."""

from typing import Any

from harness.errors import CellError

Score = tuple[float, bool]  # log-probability (nats); would greedy decoding say it


def next_token_body(context: list[int], token_ids: list[int]) -> dict[str, Any]:
    return {
        "prompt": context,
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 1,
        "logprob_token_ids": list(dict.fromkeys(token_ids)),
        "return_tokens_as_token_ids": True,
    }


def next_token_scores(reply: dict[str, Any], token_ids: list[int]) -> list[Score] | None:
    """None if a token was left out: the server does not know `logprob_token_ids`."""
    try:
        first = reply["choices"][0]["logprobs"]["top_logprobs"][0]
        logprobs = [float(first[f"token_id:{token}"]) for token in token_ids]
        best = max(first.values())
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return [(logprob, logprob >= best) for logprob in logprobs]


def echo_body(context: list[int], continuation: list[int]) -> dict[str, Any]:
    prompt = context + continuation
    return {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}


def echoed_score(reply: dict[str, Any], context_tokens: int, continuation_tokens: int) -> Score:
    """Sum over the continuation; greedy if each of its tokens is the most likely one."""
    part = slice(context_tokens, context_tokens + continuation_tokens)
    try:
        logprobs = reply["choices"][0]["logprobs"]
        own, top = logprobs["token_logprobs"][part], logprobs["top_logprobs"][part]
        if len(own) == continuation_tokens:
            return float(sum(own)), all(one >= max(best.values()) for one, best in zip(own, top, strict=True))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        pass
    raise CellError(
        "the server gives neither the log-probabilities of chosen tokens (logprob_token_ids) nor those of a prompt "
        "(echo with logprobs), so it cannot answer multiple choice; serve the model with vLLM, or leave the suite out"
    )
