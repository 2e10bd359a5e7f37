"""What a server understands beyond OpenAI's completions. Declared here once, so that nobody asks which engine it is.

What a suite or a scenario wants and a server does not give is a preflight error that names both, instead of cells that
fail hours later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.engines import metric_names

# What can be wanted of a server, in words that follow "needs".
NEXT_TOKEN_LOGPROBS = "log-probabilities of given next tokens"
PROMPT_LOGPROBS = "log-probabilities of a prompt's tokens (echo)"
PROMPT_LOGPROBS_BY_ID = "log-probabilities of a prompt's tokens by token id (echo, return_tokens_as_token_ids)"
TOKEN_IDS = "the ids of generated tokens (return_token_ids), which a conversation's next turn resends"
IDS, TEXT = "ids", "text"  # prompts as token ids, or as text that the server tokenizes
EVERYTHING = frozenset({NEXT_TOKEN_LOGPROBS, PROMPT_LOGPROBS, PROMPT_LOGPROBS_BY_ID, TOKEN_IDS})


@dataclass(frozen=True)
class Dialect:
    """`exact_length`: the fields that make an answer exactly max_tokens long; empty: it ends where the model ends it.

    `gives`: of the above. `likeliest`: the field that asks for the N likeliest next tokens with their ids, on a server
    that cannot be asked for given ones; N may be the whole vocabulary. `send_as`: ids or text, what prompts of suites
    are sent as; scenarios have their own setting. `metrics`: of GET /metrics, {exporter's name: our quantity}.
    """

    name: str
    exact_length: tuple[str, ...]
    gives: frozenset[str]
    likeliest: str | None = None
    send_as: str = IDS
    metrics: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def for_text_prompts(self) -> "Dialect":
        """Without what needs a prompt of token ids, whose positions are known."""
        return replace(self, gives=frozenset(), likeliest=None, send_as=TEXT)


# vLLM 0.32. llama.cpp 11434 (tools/server): ignores fields that it does not know, refuses `echo`. SGLang 0.5.23
# (entrypoints/openai/protocol.py). TensorRT-LLM's trtllm-serve and OpenAI's API refuse fields that they do not know.
VLLM = Dialect("vllm", ("min_tokens", "ignore_eos"), EVERYTHING, metrics=metric_names.VLLM)
SGLANG = Dialect(
    "sglang",
    ("min_tokens", "ignore_eos"),
    frozenset({NEXT_TOKEN_LOGPROBS, PROMPT_LOGPROBS, TOKEN_IDS}),
    metrics=metric_names.SGLANG,
)
LLAMACPP = Dialect(
    "llamacpp", ("ignore_eos",), frozenset({NEXT_TOKEN_LOGPROBS}), likeliest="n_probs", metrics=metric_names.LLAMACPP
)
TENSORRT_LLM = Dialect("tensorrt_llm", ("min_tokens", "ignore_eos"), frozenset())
OPENAI = Dialect("openai", (), frozenset())

DIALECTS = {dialect.name: dialect for dialect in (VLLM, SGLANG, LLAMACPP, TENSORRT_LLM, OPENAI)}
