"""Experts in one tensor of three dimensions."""

import numpy as np
import pytest

from harness.checkpoints.inspection.text import render
from tests.unit.checkpoints import built
from tests.unit.checkpoints.moe import ATTENTION, BLOCKS, EXPERTS, HIDDEN, INNER, ct, inspected, w

pytestmark = pytest.mark.slow


def inputs_first(found: tuple[str, np.ndarray]) -> tuple[str, np.ndarray]:
    return found[0], np.ascontiguousarray(found[1].transpose(0, 2, 1))


def fused(gate_up: dict, down: dict) -> built.Tensors:
    found = {"model.embed_tokens.weight": built.bf16(w(64, HIDDEN)), "lm_head.weight": built.bf16(w(64, HIDDEN))}
    for name in ATTENTION:
        found |= built.dense(f"model.layers.0.self_attn.{name}", w(HIDDEN, HIDDEN))
    found |= built.dense("model.layers.0.mlp.gate", w(EXPERTS, HIDDEN))
    for stem, tensors in (("gate_up_proj", gate_up), ("down_proj", down)):
        found |= {f"model.layers.0.mlp.experts.{stem}{part}": tensor for part, tensor in tensors.items()}
    return found


UP, DOWN = (EXPERTS, 2 * INNER, HIDDEN), (EXPERTS, HIDDEN, INNER)
IGNORE = ["lm_head", "re:.*self_attn.*", "re:.*gate$"]


def sparse_experts(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack([w(*shape[1:], sparse=True) for _ in range(shape[0])])


@pytest.mark.parametrize("turned", [False, True])
def test_fused_experts_are_counted_and_measured_along_their_inputs(turned, tmp_path):
    def tensor(shape):
        found = built.bf16(sparse_experts(shape))
        return {"": inputs_first(found) if turned else found}

    seen = inspected(tmp_path, fused(tensor(UP), tensor(DOWN)), None)
    experts = {layer.kind: layer for layer in seen.layers if layer.fused}
    assert experts["gate_up_proj"].count == EXPERTS * 2 * INNER * HIDDEN
    assert experts["gate_up_proj"].matrix == UP[1:] and experts["down_proj"].matrix == DOWN[1:]
    for layer in experts.values():
        assert layer.measured.values == layer.count and layer.measured.groups == layer.count // 4
        assert layer.sparse24, "2:4 along the inputs, and not across them"
    assert f"{sum(layer.count for layer in seen.layers) / 1e6:,.0f} M weights" in render(seen, [])
    assert seen.faults == [] and seen.looked_at == 1.0


def channel(shape):
    return {".weight": built.fp8(w(*shape)), ".weight_scale": ("F32", np.full((*shape[:2], 1), 0.01))}


def channel_turned(shape):
    scale = ("F32", np.full((shape[0], 1, shape[1]), 0.01))
    return {"": inputs_first(built.fp8(w(*shape))), "_scale": scale}


def block_turned(shape):
    scale = ("F32", np.full((shape[0], shape[2] // 128, shape[1] // 128), 0.01))
    return {"": inputs_first(built.fp8(w(*shape))), "_scale_inv": scale}


def block(shape):
    scale = ("F32", np.full((shape[0], shape[1] // 128, shape[2] // 128), 0.01))
    return {".weight": built.fp8(w(*shape)), ".weight_scale_inv": scale}


FUSED = {
    "per channel": (channel, ct([r"re:.*experts.*"], IGNORE), "fp8 e4m3, per channel"),
    "per channel, by class": (channel, ct(["Linear"], IGNORE), "fp8 e4m3, per channel"),
    "per channel, inputs first": (channel_turned, ct(["Qwen3MoeExperts"], IGNORE), "fp8 e4m3, per channel"),
    "blocks": (block, BLOCKS | {"modules_to_not_convert": ["self_attn"]}, "fp8 e4m3, block 128x128"),
    "blocks, inputs first": (
        block_turned, BLOCKS | {"modules_to_not_convert": ["self_attn"]}, "fp8 e4m3, block 128x128"),
}  # fmt: skip


@pytest.mark.parametrize("case", FUSED)
def test_fused_experts_in_fp8_are_seen_as_such(case, tmp_path):
    write, quantization, format = FUSED[case]
    found = fused(write(UP), write(DOWN))
    seen = inspected(tmp_path, found, quantization)
    assert [str(fault) for fault in seen.faults] == []
    assert {layer.kind for layer in seen.layers if layer.quantized} == {"gate_up_proj", "down_proj"}
    assert format in render(seen, [])
    name = next(key for key in found if "down_proj" in key and "scale" in key)
    found[name] = ("F32", np.full((EXPERTS, 3, 3), 0.01))
    assert "fit no granularity" in str(inspected(tmp_path, found, quantization).errors[0])


def test_fused_experts_in_bf16_that_a_pattern_claims_are_a_fault(tmp_path):
    found = fused(channel(UP), {"": built.bf16(w(*DOWN))})
    for target in (r"re:.*experts.*", "Linear"):
        (fault,) = inspected(tmp_path, found, ct([target], IGNORE)).errors
        assert fault.where == ("model.layers.0.mlp.experts.down_proj",)


def test_fused_experts_are_no_linear_modules(tmp_path):
    """A class names them in one engine and not in another: admitted where none of them is quantized."""
    found = fused({"": built.bf16(w(*UP))}, {"": built.bf16(w(*DOWN))})
    for name in ATTENTION:
        del found[f"model.layers.0.self_attn.{name}.weight"]
        found |= built.fp8_channel(f"model.layers.0.self_attn.{name}", w(HIDDEN, HIDDEN))
    seen = inspected(tmp_path, found, ct(["Linear"], ["lm_head"]))
    assert seen.faults == [] and len(seen.unchecked) == 2
    assert inspected(tmp_path, found, BLOCKS).errors, "and fp8 names everything"
