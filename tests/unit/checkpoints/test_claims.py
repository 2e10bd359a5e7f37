"""What configurations say of layers, by the rules of the engines that read them."""

import pytest

from harness.checkpoints.inspection.claims import Claims
from harness.checkpoints.inspection.matching import FEW, aliases, converted, substring
from harness.checkpoints.inspection.methods import read_claims
from harness.checkpoints.model_config import ModelConfig

BLOCKS = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}
NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
FBGEMM = {"quant_method": "fbgemm_fp8"}
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
INT4 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}
FP8 = {"num_bits": 8, "type": "float", "strategy": "channel"}
QUANTIZED, LEFT, EITHER = "quantized", "left", "either"


def targets(*groups: list[str], ignore: list[str] = ()) -> dict:
    """group_0 in INT4, group_1 in FP8, each with these targets."""
    found = {f"group_{n}": {"targets": names, "weights": (INT4, FP8)[n]} for n, names in enumerate(groups)}
    return {"quant_method": "compressed-tensors", "config_groups": found, "ignore": list(ignore)}


def claims_of(quantization: dict) -> Claims:
    return read_claims(ModelConfig.read({"quantization_config": quantization}))


def outcome(quantization: dict, layer: str) -> str:
    found = {claim is not None for claim in claims_of(quantization).outcomes(layer)}
    return EITHER if len(found) == 2 else QUANTIZED if found == {True} else LEFT


def bits(quantization: dict, layer: str) -> set[int]:
    claims = claims_of(quantization)
    return {claim.weights.bits for claim in claims.outcomes(layer) if claim}


Q, GATE, UP = "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.gate", "model.layers.10.mlp.up_proj"
EXPERT = "model.layers.1.mlp.experts.3.up_proj"

# what an exception does: (configuration, layer, what it should be)
EXCEPTIONS = {
    "fp8: nothing listed": (BLOCKS, Q, QUANTIZED),
    "fp8: the list is null": (BLOCKS | {"modules_to_not_convert": None}, Q, QUANTIZED),
    "fp8: lm_head never": (BLOCKS | {"modules_to_not_convert": [GATE]}, "lm_head", LEFT),
    "fp8: exact": (BLOCKS | {"modules_to_not_convert": [Q]}, Q, LEFT),
    "fp8: the other key": (BLOCKS | {"ignored_layers": [Q]}, Q, LEFT),
    "fp8: a part, which vLLM does not match and transformers does": (
        BLOCKS | {"modules_to_not_convert": ["mlp.gate"]}, GATE, EITHER),
    "fp8: a part is not the beginning of a name": (
        BLOCKS | {"modules_to_not_convert": ["model.layers.1"]}, UP, EITHER),
    "fp8: the merged name": (BLOCKS | {"ignored_layers": ["model.layers.1.self_attn.qkv_proj"]}, Q, EITHER),
    "fp8: one expert is all of them": (
        BLOCKS | {"ignored_layers": ["model.layers.1.mlp.experts.0.up_proj"]}, EXPERT, EITHER),
    "fp8: experts of another block": (
        BLOCKS | {"ignored_layers": ["model.layers.11.mlp.experts.0.up_proj"]}, EXPERT, QUANTIZED),
    "fp8: another wrapper": (
        BLOCKS | {"ignored_layers": ["model.language_model.layers.1.self_attn.q_proj"]},
        "language_model.model.layers.1.self_attn.q_proj", EITHER),
    "fp8: no regular expression": (BLOCKS | {"modules_to_not_convert": ["*.q_proj", "("]}, Q, QUANTIZED),
    "fbgemm: exact": (FBGEMM | {"modules_to_not_convert": [Q]}, Q, LEFT),
    "awq: a substring with a dot at its end": (AWQ | {"modules_to_not_convert": ["model.layers.1."]}, Q, LEFT),
    "awq: and not of layer 10": (AWQ | {"modules_to_not_convert": ["model.layers.1."]}, UP, QUANTIZED),
    "awq: without a dot it is layer 10 too, for vLLM": (
        AWQ | {"modules_to_not_convert": ["model.layers.1"]}, UP, EITHER),
    "awq: a module": (AWQ | {"modules_to_not_convert": ["visual"]}, "visual.blocks.0.attn.qkv", LEFT),
    "awq: a module inside": (AWQ | {"modules_to_not_convert": ["visual"]}, "model.visual.blocks.0.attn.qkv", EITHER),
    "bitsandbytes: a component": (NF4 | {"llm_int8_skip_modules": ["self_attn"]}, Q, EITHER),
    "bitsandbytes: the first components": (NF4 | {"llm_int8_skip_modules": ["model.layers.1"]}, Q, LEFT),
    "bitsandbytes: not the first characters": (NF4 | {"llm_int8_skip_modules": ["model.layers.1"]}, UP, QUANTIZED),
    "modelopt: a glob": (NVFP4 | {"exclude_modules": ["model.layers.*.self_attn*"]}, Q, LEFT),
    "modelopt: its star may stand for the module alone": (
        NVFP4 | {"exclude_modules": ["*.mlp.gate*"]}, "model.layers.1.mlp.gate_proj", EITHER),
    "modelopt: ignore": (NVFP4 | {"ignore": ["lm_head"]}, "lm_head", LEFT),
    "modelopt: a substring": (NVFP4 | {"ignore": ["mlp.gate."]}, "model.layers.1.mlp.gate.linear", EITHER),
    "modelopt: MTP layers": (NVFP4 | {"ignore": ["model.layers.61*"]}, "model.layers.61.eh_proj", LEFT),
    "mxfp4: attention, whatever is listed": (
        {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.mlp.router"]}, Q, LEFT),
    "mxfp4: experts": ({"quant_method": "mxfp4"}, "model.layers.1.mlp.experts.gate_up_proj", QUANTIZED),
    "gptq: dynamic leaves out": (GPTQ | {"dynamic": {r"-:.*\.1\.mlp\..*": {}}}, GATE, LEFT),
    "gptq: from the start of the name": (GPTQ | {"dynamic": {r"-:self_attn": {}}}, Q, QUANTIZED),
    "gptq: the first pattern holds": (
        GPTQ | {"dynamic": {r".*q_proj": {"bits": 8}, r"-:.*self_attn.*": {}}}, Q, QUANTIZED),
    "gptq: or the exception does": (GPTQ | {"dynamic": {r"-:.*self_attn.*": {}, r".*q_proj": {"bits": 8}}}, Q, LEFT),
    "gptq: modules_in_block_to_quantize": (
        GPTQ | {"modules_in_block_to_quantize": [["self_attn.q_proj"], ["mlp.up_proj"]]}, Q, QUANTIZED),
    "gptq: and what it does not name": (
        GPTQ | {"modules_in_block_to_quantize": [["self_attn.q_proj"], ["mlp.up_proj"]]}, GATE, LEFT),
    "gptq: lm_head": (GPTQ | {"lm_head": True}, "lm_head", QUANTIZED),
    "compressed-tensors: a name is whole": (targets(["Linear"], ignore=["model.layers.1"]), Q, QUANTIZED),
    "compressed-tensors: a pattern, from the start": (targets(["Linear"], ignore=["re:self_attn"]), Q, QUANTIZED),
    "compressed-tensors: a pattern": (targets(["Linear"], ignore=["re:.*self_attn"]), Q, LEFT),
    "compressed-tensors: the merged name": (targets(["Linear"], ignore=["re:.*qkv_proj"]), Q, EITHER),
    "compressed-tensors: no target names it": (targets(["re:.*mlp.*"]), Q, LEFT),
    "compressed-tensors: a class that the file does not tell": (targets(["Conv1D"]), Q, EITHER),
    "compressed-tensors: attention modules": (targets(["LlamaAttention"]), Q, LEFT),
    "compressed-tensors: a class of experts": (targets(["Qwen3MoeExperts"]), EXPERT, QUANTIZED),
}  # fmt: skip


@pytest.mark.parametrize("case", EXCEPTIONS)
def test_exceptions_are_matched_as_the_engines_match_them(case):
    quantization, layer, expected = EXCEPTIONS[case]
    assert outcome(quantization, layer) == expected


def test_names_come_before_patterns_and_patterns_before_classes():
    assert bits(targets(["Linear"], ["re:.*self_attn.*"]), Q) == {8}
    assert bits(targets(["re:.*self_attn.*"], ["Linear"]), Q) == {4}
    assert bits(targets(["Linear"], ["re:.*self_attn.*"]), UP) == {4}
    both = bits(targets(["re:.*self_attn.*"], [Q]), Q)
    assert both == {4, 8}, "compressed-tensors takes the name, vLLM the target that comes first"


def test_dynamic_gives_layers_settings_of_their_own():
    claims = claims_of(GPTQ | {
        "dynamic": {r"+:.*\.1\..*": {"bits": 8, "group_size": 64}, r".*up_proj": {"sym": False}}})  # fmt: skip
    own, *_ = claims.outcomes(Q)
    assert (own.weights.bits, own.weights.group_size, own.weights.symmetric) == (8, 64, True)
    other, *_ = claims.outcomes(UP)
    assert (other.weights.bits, other.weights.group_size, other.weights.symmetric) == (4, 128, False)


@pytest.mark.parametrize("broken", [{"dynamic": {"-:(": {}}}, {"dynamic": [1]}, {"modules_in_block_to_quantize": [1]}])
def test_a_configuration_of_another_form_is_refused(broken):
    with pytest.raises((ValueError, AttributeError, TypeError)):
        claims_of(GPTQ | broken)


def test_a_layer_is_known_by_the_names_of_other_versions():
    found = aliases("model.language_model.layers.0.mlp.up_proj")
    assert {"language_model.model.layers.0.mlp.up_proj", "model.layers.0.mlp.gate_up_proj"} <= set(found)
    assert found[0] == "model.language_model.layers.0.mlp.up_proj"


def test_exact_targets_are_one_rule_a_group_however_many_there_are():
    """18,000 experts by name took 50 minutes as a rule each."""
    named = [f"model.layers.{n}.mlp.up_proj" for n in range(500)]
    quantization = targets(named[::2], [*named[1::2], named[0], "re:.*down_proj"])
    claims = claims_of(quantization)
    assert max(map(len, claims.readings)) <= 6
    assert [bits(quantization, named[n]) for n in (2, 3)] == [{4}, {8}]
    assert bits(quantization, named[0]) == {4}, "named twice: the first group has it"
    assert bits(quantization, "model.layers.0.mlp.down_proj") == {8}
    assert outcome(quantization, "model.layers.500.mlp.up_proj") == LEFT


@pytest.mark.parametrize("match", [substring, converted])
def test_long_lists_of_exceptions_reach_the_same_layers_as_short_ones(match):
    few = ["visual.", "mlp.gate", "model.layers.1", "lm_head", "layers.2.mlp.up_proj", r"re:x"]
    many = match([*few, *(f"other.{n}.proj" for n in range(FEW))])
    names = ["visual.blocks.0.fc1", "visuals.x", "model.layers.1.mlp.up_proj", "model.layers.10.mlp.up_proj",
             "model.layers.2.mlp.up_proj", "a.mlp.gate", "a.mlp.gate_proj", "lm_head", "x.lm_head.y"]  # fmt: skip
    assert [many(name) for name in names] == [match(few)(name) for name in names]
