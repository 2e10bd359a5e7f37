"""Layers that are unquantized and on no list of exceptions: where that may be right, why the files cannot decide.

Engines construct some layers without a quantization config, and which these are is written in their model code alone:
routers, small projections, vision towers, MTP layers. Layers that every engine quantizes are not among them.
"""

import re
from collections.abc import Iterable

from harness.checkpoints.inspection.claims import Claim, Claims
from harness.checkpoints.inspection.layer import Layer

# Linear layers of attention, recurrent mixers and MLP, by the names that model families give them, in lower case: vLLM
# builds all of them with its quantization config.
BLOCK = {
    *("q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "qkv_proj", "qkv", "attn_qkv", "attn_out", "att_proj"),
    *("query", "key", "value", "query_key_value", "dense", "wq", "wk", "wv", "wo", "wqkv", "w_pack"),
    *("c_attn", "q_attn", "c_proj", "c_fc", "c_fc_0", "c_fc_1", "c_fc2"),
    *("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "fused_qkv_a_proj_with_mqa", "fused_qkv_a_proj"),
    *("in_proj", "in_proj_qkvz", "in_proj_qkv", "in_proj_z"),
    *("gate_proj", "up_proj", "down_proj", "gate_up_proj", "w1", "w2", "w3", "w13", "v1"),
    *("fc1", "fc2", "fc_in", "fc_out", "wi", "wi_0", "wi_1", "ff_proj", "ff_out"),
    *("dense_h_to_4h", "dense_4h_to_h", "linear_in", "linear_out", "input_linear", "output_linear", "lm_head"),
}
ROUTER = re.compile(r"(?:^|\.)(?:gate|gating|wg|\w*router|\w*expert\w*_gate)(?:\.(?:layer|linear|classifier|wg|\d+))?$")
ROUTER_ROWS = 2048  # one for each expert


class Unlisted:
    """What the layers of a checkpoint say together about one that is unquantized."""

    def __init__(self, layers: Iterable[Layer], claims: Claims):
        self.claims = claims
        quantized = [layer for layer in layers if layer.quantized]
        self.kinds = {layer.kind for layer in quantized if not layer.fused}
        self.fused = any(layer.fused for layer in quantized)
        self.stacks = {stack(layer.name) for layer in quantized}

    def why(self, layer: Layer, claim: Claim) -> str | None:
        """None: it contradicts the claim."""
        if claim.by == "name":
            return None
        if router(layer):
            return "engines build routers and gates without quantization"
        if self.claims.tied and layer.kind == "lm_head":
            return "tie_word_embeddings: engines take the embedding for it"
        if self.claims.from_files:
            return "it lists no exceptions, and engines take them from the files"
        if layer.fused and claim.by == "class" and self.claims.method == "compressed-tensors" and not self.fused:
            return "fused experts are no Linear modules"
        if layer.kind.lower() not in BLOCK and not layer.fused and layer.kind not in self.kinds:
            return "no layer of its type is quantized: the engine's model code decides"
        if self.stacks and stack(layer.name) not in self.stacks and layer.kind != "lm_head":
            return f"no layer of {stack(layer.name)} is quantized: the engine's model code decides"
        if self.claims.decoder_layers is not None and block_index(layer.name) >= self.claims.decoder_layers:
            return "it is beyond num_hidden_layers, loaded for speculative decoding alone"
        return None


def router(layer: Layer) -> bool:
    return bool(ROUTER.search(layer.name)) and layer.shape[0] <= ROUTER_ROWS


def stack(name: str) -> str:
    """`model.layers` of model.layers.3.mlp.up_proj: the list of blocks that a layer is in."""
    return re.split(r"\.\d+(?:\.|$)", name, maxsplit=1)[0]


def block_index(name: str) -> int:
    found = re.search(r"\.layers\.(\d+)\.", name)
    return int(found[1]) if found else -1
