"""Log-probabilities over `/v1/completions`: of several next tokens at once, or of a continuation read back by echo."""

from harness.accuracy.completions import Body, Reply, problem_of
from harness.engines.dialect import VLLM, Dialect
from harness.errors import CellError
from harness.protocol.replies import BadReply, a_logprob

Score = tuple[float, bool]  # log-probability (nats); would greedy decoding say it
UNREAD: Score = (-1e300, False)  # of an answer that cannot be read; no log-probability is so low (replies.a_logprob)
# Next tokens asked for at first where given ones cannot be: 30 kB; answers to a question are among them.
LIKELIEST = 400


def next_token_body(
    context: list[int], token_ids: list[int], dialect: Dialect = VLLM, likeliest: int = LIKELIEST
) -> Body:
    """`likeliest`: how many next tokens to ask for on a server that cannot be asked for `token_ids`."""
    body = {"prompt": context, "max_tokens": 1, "temperature": 0}
    if dialect.likeliest:
        return {**body, dialect.likeliest: likeliest}
    wanted = list(dict.fromkeys(token_ids))
    return {**body, "logprobs": 1, "logprob_token_ids": wanted, "return_tokens_as_token_ids": True}


def next_token_scores(reply: Reply, token_ids: list[int]) -> list[Score] | None:
    """None if a token was left out: it is not among the likeliest, or the server does not know `logprob_token_ids`."""
    try:
        first = _by_token(reply["choices"][0]["logprobs"])
        logprobs = [a_logprob(first[f"token_id:{token}"], "a log-probability") for token in token_ids]
        best = max(value for value in first.values() if value is not None)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, BadReply):
        return None
    return [(logprob, logprob >= best) for logprob in logprobs]


def _by_token(logprobs: Reply) -> dict[str, float]:
    """vLLM names tokens by `token_id:N`; llama.cpp lists them with their ids, in the shape of chat completions."""
    if logprobs.get("content"):
        return {f"token_id:{one['id']}": one["logprob"] for one in logprobs["content"][0]["top_logprobs"]}
    return logprobs["top_logprobs"][0]


def echo_body(context: list[int], continuation: list[int]) -> Body:
    prompt = context + continuation
    return {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}


def echoed_score(reply: Reply, context_tokens: int, continuation_tokens: int) -> Score:
    """Sum over the continuation; greedy if each of its tokens is the most likely one."""
    part = slice(context_tokens, context_tokens + continuation_tokens)
    try:
        logprobs = reply["choices"][0]["logprobs"]
        own, top = logprobs["token_logprobs"][part], logprobs["top_logprobs"][part]
        own = [a_logprob(value, "a log-probability") for value in own]
        if len(own) == continuation_tokens:
            return sum(own), all(one >= max(best.values()) for one, best in zip(own, top, strict=True))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, BadReply):
        pass
    if problem := problem_of(reply):
        raise CellError(problem)
    raise CellError(
        "the server gives neither the log-probabilities of chosen tokens (logprob_token_ids) nor those of a prompt "
        "(echo with logprobs), so it cannot answer multiple choice; serve the model with vLLM, or leave the suite out"
    )
