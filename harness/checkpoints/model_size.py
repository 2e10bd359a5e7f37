"""How many weights a model has, as far as it is known before it is downloaded: for estimates of time."""

import re

from harness.checkpoints.model_config import ModelConfig

NAMED = re.compile(r"(?<![\w.])(?:(\d+)x)?(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", re.IGNORECASE)  # 135M, 8B, 8x7B
ACTIVE_EXPERTS = 2  # where config.json does not say


def weights_by_name(reference: str) -> float | None:
    """Return the weights that a token is multiplied with, by a model's name; None where it says none.

    8e9 for ``org/Llama-3.1-8B``, 14e9 for ``org/Mixtral-8x7B``.
    """
    found = NAMED.search(reference)
    if found is None:
        return None
    experts, count, unit = found.groups()
    return float(count) * (1e9 if unit in "bB" else 1e6) * min(int(experts or 1), ACTIVE_EXPERTS)


def active_weights(config: ModelConfig) -> float | None:
    """Return the weights that a token is multiplied with, the head's among them; None where sizes are missing.

    Of a transformer with grouped-query attention and a gated MLP.
    """
    model = config.decoder
    hidden, layers, heads = model.hidden_size, model.num_hidden_layers, model.num_attention_heads
    inner = model.moe_intermediate_size or model.intermediate_size
    if not (hidden and layers and heads and inner):
        return None
    head = model.head_dim or hidden // heads
    experts = config.raw.get("num_experts_per_tok", ACTIVE_EXPERTS) if model.experts else 1
    attention = hidden * head * (2 * heads + 2 * (model.num_key_value_heads or heads))
    vocabulary = config.raw.get("vocab_size")
    vocabulary = vocabulary if isinstance(vocabulary, int) else 0
    return float(layers * (attention + 3 * hidden * inner * experts) + hidden * vocabulary)
