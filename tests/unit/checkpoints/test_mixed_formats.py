"""Checkpoints of several formats, or of which only a part is quantized."""

import numpy as np
import pytest

from harness.checkpoints.inspection.gate import errors_of
from harness.checkpoints.inspection.problems import grouped
from harness.checkpoints.inspection.variant import against
from tests.unit.checkpoints import built
from tests.unit.checkpoints.moe import ATTENTION, CATALOGUE, EXPERTS, HIDDEN, INNER, ct, inspected, w

pytestmark = pytest.mark.slow


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
