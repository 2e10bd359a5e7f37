"""Checkpoints as they are published: what their configurations leave out is no fault, and what is wrong stays one."""

import json
import sys

import pytest

from harness.checkpoints.inspection.text import as_data, render
from tests import commands
from tests.unit.checkpoints import built
from tests.unit.checkpoints.moe import (
    BLOCKS,
    HIDDEN,
    ct,
    inspected,
    model,
    said,
    w,
)

pytestmark = pytest.mark.slow
ROUTERS = ["mlp.gate", "block_sparse_moe.gate", "feed_forward.router", "mlp.shared_expert_gate",
           "mlp.router.classifier", "ffn.router.layer", "mlp.gate.wg"]  # fmt: skip


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize(
    ("write", "quantization"),
    [(built.fp8_block, BLOCKS), (built.fp8_block, BLOCKS | {"modules_to_not_convert": None}),
     (built.fp8_channel, ct(["Linear"], ["lm_head"])),
     (built.fp4(16, modelopt=True), {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]})],
    ids=["fp8", "fp8 null", "compressed-tensors", "modelopt"],
)  # fmt: skip
def test_a_router_that_is_not_listed_is_said_and_admitted(router, write, quantization, tmp_path):
    found = inspected(tmp_path, model(write, router=router), quantization)
    assert [str(fault) for fault in found.faults] == []
    (left,) = found.unchecked
    assert left.where == (f"model.layers.0.{router}", f"model.layers.1.{router}")
    assert "not checked: model.layers.0." in (text := render(found, found.faults))
    assert "engines build routers and gates without quantization" in text and "nothing contradicts" in text
    assert as_data(found, found.faults)["not_checked"][0]["where"] == list(left.where)


def test_projections_of_mtp_and_indexer_are_admitted(tmp_path):
    found = model(built.fp8_block)
    for name in ("model.layers.2.eh_proj", "model.layers.0.self_attn.indexer.weights_proj"):
        found |= built.dense(name, w(HIDDEN, HIDDEN))
    assert inspected(tmp_path, found, BLOCKS).errors == []


def test_a_vision_tower_and_mtp_blocks_without_any_quantized_layer_are_admitted(tmp_path):
    found = model(built.fp8_channel)
    for name in ("visual.blocks.0.attn.q_proj", "visual.blocks.0.mlp.fc1", "model.layers.2.self_attn.q_proj"):
        found |= built.dense(name, w(HIDDEN, HIDDEN))
    seen = inspected(tmp_path, found, ct(["Linear"], ["lm_head"]), num_hidden_layers=2)
    assert seen.errors == []
    text = render(seen, [])
    assert "beyond num_hidden_layers" in text and "no layer of visual.blocks is quantized" in text


def test_a_tied_lm_head_is_the_embedding(tmp_path):
    found, quantization = model(built.fp8_channel), ct(["Linear"], ["re:.*gate$"])
    assert [fault.where for fault in inspected(tmp_path, found, quantization).errors] == [("lm_head",)]
    assert inspected(tmp_path, found, quantization, tie_word_embeddings=True).errors == []


def test_the_language_model_of_a_multimodal_one_may_carry_the_configuration(tmp_path):
    found = model(built.fp8_block)
    for part in ("text_config", "llm_config"):
        seen = inspected(tmp_path, found, None, **{part: {"quantization_config": BLOCKS}})
        assert seen.claims.method == "fp8" and seen.errors == []


WRONG = {
    "one q_proj": ("model.layers.0.self_attn.q_proj", BLOCKS),
    "one expert": ("model.layers.1.mlp.experts.2.down_proj", BLOCKS),
    "all of a type": ("self_attn.o_proj", BLOCKS),
    "one expert, compressed-tensors": ("model.layers.0.mlp.experts.2.up_proj", ct(["Linear"], ["lm_head"])),
    "of a list that names another block": (
        "model.layers.0.self_attn.q_proj", BLOCKS | {"modules_to_not_convert": ["model.layers.7.self_attn.q_proj"]}),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_layer_that_every_engine_quantizes_is_a_fault(case, tmp_path):
    name, quantization = WRONG[case]
    found = model(built.fp8_block if quantization["quant_method"] == "fp8" else built.fp8_channel)
    wrong = [key.removesuffix(".weight") for key in found if key.endswith(".weight") and name in key]
    assert wrong
    for layer in wrong:
        shape = found[f"{layer}.weight"][1].shape
        for key in [key for key in found if key.startswith(f"{layer}.")]:
            del found[key]
        found |= built.dense(layer, w(*shape))
    (fault,) = inspected(tmp_path, found, quantization).errors
    assert set(fault.where) == set(wrong) and "ignore does not name it" in str(fault)


# Attention and MLP names of OPT, Mamba, Phi, Falcon, NeoX, GPT-2, BigCode, MPT, GPT-J, T5, Qwen, DeepSeek, Baichuan.
USUAL = ["self_attn.out_proj", "self_attn.dense", "self_attention.query_key_value", "attn.c_attn", "attn.c_proj",
         "attn.Wqkv", "attn.qkv", "attn.qkv_proj", "self_attn.W_pack", "attention.wqkv", "attention.wo",
         "self_attn.q_a_proj", "self_attn.q_b_proj", "self_attn.kv_a_proj_with_mqa", "self_attn.kv_b_proj",
         "self_attn.fused_qkv_a_proj_with_mqa", "linear_attn.in_proj_qkvz", "mixer.in_proj", "mixer.out_proj",
         "mlp.c_fc", "mlp.c_proj", "mlp.fc1", "mlp.fc2", "mlp.fc_in", "mlp.fc_out", "mlp.dense_h_to_4h",
         "mlp.dense_4h_to_h", "DenseReluDense.wi", "DenseReluDense.wi_0", "DenseReluDense.wi_1", "DenseReluDense.wo",
         "mlp.gate_up_proj", "feed_forward.w2"]  # fmt: skip


@pytest.mark.parametrize("name", USUAL)
def test_all_layers_of_a_usual_type_left_in_bf16_are_a_fault(name, tmp_path):
    found, layers = model(built.fp8_block), [f"model.layers.{n}.{name}" for n in range(2)]
    for layer in layers:
        found |= built.dense(layer, w(HIDDEN, HIDDEN))
    (fault,) = inspected(tmp_path, found, BLOCKS).errors
    assert set(fault.where) == set(layers) and "ignore does not name it" in str(fault)


def test_a_router_that_the_configuration_names_must_be_quantized(tmp_path):
    router = "model.layers.0.mlp.gate"
    found = inspected(tmp_path, model(built.fp8_channel), ct(["Linear", router], ["lm_head"]))
    assert [fault.where for fault in found.errors] == [(router,)]


def test_a_small_projection_is_wrong_where_its_like_are_quantized(tmp_path):
    found = model(built.fp8_block)
    for n, write in enumerate((built.fp8_block, built.dense)):
        found |= write(f"model.layers.{n}.mamba.x_proj", w(HIDDEN, HIDDEN))
    assert [fault.where for fault in inspected(tmp_path, found, BLOCKS).errors] == [("model.layers.1.mamba.x_proj",)]


def test_convolutions_are_no_experts(tmp_path):
    found = built.tensors("bf16") | {"model.layers.0.mamba.conv1d.weight": built.bf16(w(HIDDEN, 1, 4))}
    assert not any(layer.kind == "conv1d" for layer in inspected(tmp_path, found, None).layers)


def test_the_command_admits_what_it_cannot_check(tmp_path):
    folder = built.checkpoint(tmp_path / "c", "bf16", model(built.fp8_block), said(BLOCKS))
    command = [sys.executable, "-m", "harness.inspect", str(folder)]
    done = commands.run(command, timeout=60)
    assert done.returncode == 0 and "not checked: model.layers.0.mlp.gate" in done.stdout
    done = commands.run([*command, "--json"], timeout=60)
    assert json.loads(done.stdout)["faults"] == [] and json.loads(done.stdout)["not_checked"]
