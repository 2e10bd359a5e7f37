"""Checkpoints as they are published: what their configurations leave out is no fault, and what is wrong stays one."""

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.catalogue import variants
from harness.checkpoints.inspection import inspect_checkpoint
from harness.checkpoints.inspection.gate import errors_of
from harness.checkpoints.inspection.problems import grouped
from harness.checkpoints.inspection.text import as_data, render
from harness.checkpoints.inspection.variant import against
from tests.unit.checkpoints import built

pytestmark = pytest.mark.slow

HIDDEN, INNER, EXPERTS = built.HIDDEN, built.INNER, 4
CATALOGUE = variants()
BLOCKS = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def w(*shape: int, sparse: bool = False) -> np.ndarray:
    return built.weights(sum(shape), shape, sparse)


def model(write, experts=None, layers: int = 2, router: str = "mlp.gate") -> built.Tensors:
    """A mixture of experts: attention, a router in BF16, and experts one by one."""
    found = {"model.embed_tokens.weight": built.bf16(w(64, HIDDEN)), "lm_head.weight": built.bf16(w(64, HIDDEN))}
    for n in range(layers):
        block = f"model.layers.{n}"
        for name in ATTENTION:
            found |= write(f"{block}.self_attn.{name}", w(HIDDEN, HIDDEN))
        found |= built.dense(f"{block}.{router}", w(EXPERTS, HIDDEN))
        for expert in range(EXPERTS):
            for name in ("gate_proj", "up_proj"):
                found |= (experts or write)(f"{block}.mlp.experts.{expert}.{name}", w(INNER, HIDDEN))
            found |= (experts or write)(f"{block}.mlp.experts.{expert}.down_proj", w(HIDDEN, INNER))
    return found


def said(quantization: dict | None, **more) -> dict:
    return {"architectures": ["MoeForCausalLM"], "hidden_size": HIDDEN, **more,
            **({"quantization_config": quantization} if quantization else {})}  # fmt: skip


def inspected(tmp_path, found: built.Tensors, quantization: dict | None, **more):
    return inspect_checkpoint(str(built.checkpoint(tmp_path / "c", "bf16", found, said(quantization, **more))))


def ct(targets: list[str], ignore: list[str] = ()) -> dict:
    made = built.compressed_tensors("float-quantized", built.FLOAT8, built.TOKEN)
    made["config_groups"]["group_0"]["targets"] = targets
    return made | {"ignore": list(ignore)}


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


def gpt_oss() -> built.Tensors:
    found = {"model.embed_tokens.weight": built.bf16(w(64, HIDDEN)), "lm_head.weight": built.bf16(w(64, HIDDEN))}
    for name in ATTENTION:
        found |= built.dense(f"model.layers.0.self_attn.{name}", w(HIDDEN, HIDDEN))
    found |= built.dense("model.layers.0.mlp.router", w(EXPERTS, HIDDEN))
    for name, out, inputs in (("gate_up_proj", 2 * INNER, HIDDEN), ("down_proj", HIDDEN, INNER)):
        stem = f"model.layers.0.mlp.experts.{name}"
        found[f"{stem}_blocks"] = ("U8", np.full((EXPERTS, out, inputs // 32, 16), 0x31, "u1"))
        found[f"{stem}_scales"] = ("U8", np.full((EXPERTS, out, inputs // 32), 120, "u1"))
        found[f"{stem}_bias"] = built.bf16(np.ones((EXPERTS, out)))
    return found


@pytest.mark.parametrize("listed", [
    ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
    [r"re:.*self_attn.*", r"re:.*router"], None,
])  # fmt: skip
def test_gpt_oss_is_the_variant_mxfp4_whatever_its_list_looks_like(listed, tmp_path):
    found = inspected(tmp_path, gpt_oss(), {"quant_method": "mxfp4", "modules_to_not_convert": listed})
    assert found.faults == []
    problems = grouped(against(found, "mxfp4", CATALOGUE["mxfp4"]))
    assert [fault.level for fault in problems] == ["unchecked"], "its activations are the kernel's"
    for other in ("fp8_dynamic", "nvfp4", "w4a16", "bf16"):
        assert errors_of(found, other, CATALOGUE[other]), other


def test_experts_of_mxfp4_that_are_bf16_are_a_fault(tmp_path):
    found = gpt_oss()
    for part in ("blocks", "scales"):
        del found[f"model.layers.0.mlp.experts.down_proj_{part}"]
    found["model.layers.0.mlp.experts.down_proj"] = built.bf16(w(EXPERTS, INNER, HIDDEN))
    (fault,) = inspected(tmp_path, found, {"quant_method": "mxfp4"}).errors
    assert fault.where == ("model.layers.0.mlp.experts.down_proj",)


def test_gptq_with_settings_of_its_own_for_some_layers(tmp_path):
    found = built.tensors("gptq")
    for name in built.NAMES[7:]:
        shape = built.SHAPES[name.split(".", 3)[3]]
        for key in [key for key in found if key.startswith(f"{name}.")]:
            del found[key]
        found |= built.gptq(name, w(*shape), 64)
    quantization = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "lm_head": False,
                    "dynamic": {r"+:.*\.1\..*": {"group_size": 64}}}  # fmt: skip
    assert inspected(tmp_path, found, quantization).faults == []
    del quantization["dynamic"]
    assert "group 64 where" in str(inspected(tmp_path, found, quantization).errors[0])


@pytest.mark.parametrize("kind", ["awq", "gptq"])
def test_what_awq_and_gptq_do_not_list_is_read_from_the_files_by_engines(kind, tmp_path):
    found = built.tensors(kind)
    for name in built.NAMES[:7]:
        for key in [key for key in found if key.startswith(f"{name}.")]:
            del found[key]
        found |= built.dense(name, w(*built.SHAPES[name.split(".", 3)[3]]))
    seen = inspected(tmp_path, found, built.config(kind)["quantization_config"])
    assert seen.faults == [] and len(seen.unchecked[0].where) == 7
    quantization = built.config(kind)["quantization_config"]
    quantization |= {"modules_to_not_convert": ["visual"], "modules_in_block_to_quantize": [["proj"]]}
    assert len(inspected(tmp_path, found, quantization).errors[0].where) == 7, "a list that does not name them"


def test_a_checkpoint_of_two_formats_is_the_variant_of_most_of_its_weights(tmp_path):
    found = built.tensors("int4_g128")
    for name in (name for name in built.NAMES if "self_attn" in name):
        for key in [key for key in found if key.startswith(f"{name}.")]:
            del found[key]
        found |= built.fp8_channel(name, w(*built.SHAPES[name.split(".", 3)[3]]))
    quantization = built.config("int4_g128")["quantization_config"]
    own = {"weights": built.ARGS | built.FLOAT8, "input_activations": built.TOKEN}
    quantization["config_groups"]["group_1"] = own | {"targets": ["re:.*self_attn.*"]}
    seen = inspected(tmp_path, found, quantization)
    assert seen.faults == []
    (mixed,) = grouped(against(seen, "w4a16", CATALOGUE["w4a16"]))
    assert mixed.level == "caution" and "29% of its quantized weights are fp8 e4m3, per channel" in str(mixed)
    assert errors_of(seen, "fp8_dynamic", CATALOGUE["fp8_dynamic"]), "most are INT4"


def test_a_checkpoint_of_which_little_is_quantized_says_so(tmp_path):
    found = built.tensors("fp8")
    for name in (name for name in built.NAMES if "mlp" in name):
        for key in [key for key in found if key.startswith(f"{name}.")]:
            del found[key]
        found |= built.dense(name, w(*built.SHAPES[name.split(".", 3)[3]]))
    seen = inspected(tmp_path, found, ct(["Linear"], ["lm_head", "re:.*mlp.*"]))
    (partly,) = grouped(against(seen, "fp8_dynamic", CATALOGUE["fp8_dynamic"]))
    assert partly.level == "caution" and "29% of its linear weights are quantized" in str(partly)


@pytest.mark.parametrize("level", [["caution"], []])
def test_a_sparse_checkpoint_that_leaves_a_third_dense_says_so(level, tmp_path):
    found = {"model.embed_tokens.weight": built.bf16(w(64, HIDDEN)), "lm_head.weight": built.bf16(w(64, HIDDEN))}
    for name, shape in built.SHAPES.items():
        dense = level and name.endswith("down_proj")
        written = built.dense if dense else built.fp8_channel
        found |= written(f"model.layers.0.{name}", w(*shape, sparse=not dense))
    quantization = ct(["Linear"], ["lm_head", "re:.*down_proj"] if level else ["lm_head"])
    seen = inspected(tmp_path, found, quantization)
    assert seen.errors == []
    problems = grouped(against(seen, "sparse24_fp8", CATALOGUE["sparse24_fp8"]))
    assert [fault.level for fault in problems] == level
    assert all("% of its linear weights are quantized, the rest is left out" in str(fault) for fault in problems)


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


def test_convolutions_are_no_experts(tmp_path):
    found = built.tensors("bf16") | {"model.layers.0.mamba.conv1d.weight": built.bf16(w(HIDDEN, 1, 4))}
    assert not any(layer.kind == "conv1d" for layer in inspected(tmp_path, found, None).layers)


def test_the_command_admits_what_it_cannot_check(tmp_path):
    folder = built.checkpoint(tmp_path / "c", "bf16", model(built.fp8_block), said(BLOCKS))
    command = [sys.executable, "-m", "harness.inspect", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "not checked: model.layers.0.mlp.gate" in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["faults"] == [] and json.loads(done.stdout)["not_checked"]
